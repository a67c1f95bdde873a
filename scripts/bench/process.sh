#!/usr/bin/env bash
#
# The processes of the benchmark: functions that start them on their cores, wait until
# they listen, measure their cost and stop them. Sourced by bench.sh.
# shellcheck disable=SC2034,SC2154 # the other parts and bench.sh share their variables

die() {
  echo "bench.sh: $1" >&2
  exit 1
}

# need COMMAND PACKAGE ends the run if the command is not installed.
need() { command -v "$1" >/dev/null || die "$1 is not installed: apt-get install $2"; }

dir=$(mktemp -d)
mkdir "$dir/logs" # apart from the files of rules and keys, whose folder certgate watches
declare -A pid=() port=()
cleanup() {
  ((${#pid[@]} == 0)) || kill "${pid[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

# free_port prints a free port.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000)) # below those that the kernel gives to clients
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  return 1
}

# start NAME CORE COMMAND… runs a server on a core and waits until it listens on
# ${port[NAME]}. Its output is in $dir/logs/NAME.log.
start() {
  local name=$1 core=$2
  shift 2
  taskset -c "$core" "$@" >>"$dir/logs/$name.log" 2>&1 &
  pid[$name]=$!
  for _ in {1..200}; do
    if (exec 3<>"/dev/tcp/127.0.0.1/${port[$name]}") 2>/dev/null; then return; fi
    kill -0 "${pid[$name]}" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 5 "$dir/logs/$name.log" >&2
  die "$name does not listen on port ${port[$name]}"
}

stop() { # NAME
  kill "${pid[$1]}"
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
}

# family NAME prints the ids of the server's process and its children.
family() { echo "${pid[$1]}" && pgrep -P "${pid[$1]}" || true; }

# cpu_time NAME prints user and system time of a server in seconds: the time that the
# scheduler has counted for its threads, because ticks of 10 ms are too coarse.
cpu_time() {
  local member
  for member in $(family "$1"); do cat "/proc/$member/task/"*/schedstat; done |
    awk '{ ns += $1 } END { printf "%.6f\n", ns / 1e9 }'
}

# ticks NAME prints user and system time of a server in ticks of the kernel, which show how
# they divide the time of cpu_time.
ticks() {
  local member
  for member in $(family "$1"); do sed 's/.*) //' "/proc/$member/stat"; done |
    awk '{ user += $12; kernel += $13 } END { print user + 0, kernel + 0 }'
}

# switches NAME prints the numbers of voluntary and of involuntary context switches of a
# server's threads.
switches() {
  local member
  for member in $(family "$1"); do cat "/proc/$member/task/"*/status; done |
    awk '/^voluntary/ { v += $2 } /^nonvoluntary/ { n += $2 } END { print v + 0, n + 0 }'
}

# peak_memory NAME prints the peak memory of a server in MiB: the sum of VmHWM of its
# processes, so memory that they share is counted for each.
peak_memory() {
  local member
  for member in $(family "$1"); do cat "/proc/$member/status"; done |
    awk '/^VmHWM/ { kib += $2 } END { printf "%.1f\n", kib / 1024 }'
}

# client NAME COMMAND… runs a client on core 1, or on $load_cores, in the background.
# Its output is in $dir/NAME.out.
client() {
  taskset -c "${load_cores:-1}" "${@:2}" >"$dir/$1.out" &
  pid[$1]=$!
}

# finish NAME waits for a client, which must succeed.
finish() {
  local code=0
  wait "${pid[$1]}" || code=$?
  unset "pid[$1]"
  ((code == 0)) || die "$1 ended with status $code"
}

# load FLAGS… runs the load and stores its report in the array found: requests, ok,
# refused, lost, elapsed (s), p50, p90, p99 and max (ms).
load() {
  client load "$dir/bin/load" "$@"
  finish load
  read_report load
}

declare -A found=()
read_report() { # NAME
  local pair
  for pair in $(<"$dir/$1.out"); do found[${pair%%=*}]=${pair#*=}; done
}

# calculate EXPRESSION prints the value of an awk expression.
calculate() { awk "BEGIN { print $1 }"; }

# note ROW METRIC=VALUE… records the figures of a row in one round.
note() {
  local row=$1 pair
  shift
  for pair in "$@"; do printf '%s\t%s\t%s\n' "$row" "${pair%%=*}" "${pair#*=}"; done >>"$results"
}

# begin_table NAME makes note record into an empty file of this name.
begin_table() {
  results=$dir/results-$1
  : >"$results"
}

# print_table TITLE COLUMN… prints the medians of the recorded figures. A column is
# METRIC:HEADING:FORMAT. With :ratio at the end there is a second column with the ratio
# to the first row of the group: the rows whose names are equal up to a comma.
# METRIC/METRIC is the quotient of two metrics of a row in each round. See table.awk.
print_table() {
  local title=$1
  shift
  printf '\n%s\n' "$title"
  printf '%d rounds of %s s; %d cores, %s; %s\n\n' "$rounds" "$seconds" "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(date -u +%F)"
  awk -f "$here/table.awk" -v columns="$(printf '%s\n' "$@")" "$results"
}
