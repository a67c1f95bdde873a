#!/usr/bin/env bash
#
# The table calls: the system calls, instructions and cache misses of a request.
# Sourced by bench.sh.
# shellcheck disable=SC2034,SC2154 # the other parts and bench.sh share their variables

# counted_requests is the number of requests of each load. It is small, because
# requests are slow under strace.
counted_requests=5000

table_calls() {
  local round shape gateway shapes=("${rows[@]}")
  need strace strace
  ((${#shapes[@]} > 0)) || shapes=(mixed)
  choose_gateways
  start_upload
  begin_table calls
  for ((round = 1; round <= rounds; round++)); do
    for shape in "${shapes[@]}"; do
      for gateway in "${SHAPE_GATEWAYS[@]}"; do count_shape "$shape" "$gateway"; done
    done
  done
  stop upload
  print_table "Per request; ratios to nginx in the same round:" \
    'calls:system calls:%.2f:ratio' 'instructions:instructions:%.0f:ratio' 'misses:cache misses:%.1f:ratio'
  printf '\nSystem calls per request in the last round:\n\n'
  cat "$dir/calls"
}

count_shape() { # SHAPE GATEWAY
  local title path flags settings verify behind scheme gateway_cores workers load_cores row
  describe "$1"
  row="$title, $2"
  "start_$2" "$2" "${settings[@]}"
  load_shape "$2" -duration "$warm_up"
  count_events "$2"
  count_calls "$2"
  stop "$2"
}

# members NAME prints the process ids of a server, separated by commas.
members() { family "$1" | paste -sd,; }

# count_events records the instructions and cache misses of a load, if perf can
# read the counters of the processor on this machine.
count_events() { # GATEWAY
  local n
  perf stat -x, -e instructions,cache-misses true 2>&1 | grep -q '^[0-9]*,,instructions' || return 0
  perf stat -x, -e instructions,cache-misses -p "$(members "$1")" -o "$dir/events" &
  pid[perf]=$!
  load_shape "$1" -duration "${seconds}s"
  n=${found[requests]}
  interrupt perf
  note "$row" instructions="$(calculate "$(awk -F, '$3 ~ /^instructions/ { print $1 }' "$dir/events") / $n")" \
    misses="$(calculate "$(awk -F, '$3 ~ /^cache-misses/ { print $1 }' "$dir/events") / $n")"
}

# count_calls records the system calls of a load under strace.
count_calls() { # GATEWAY
  strace -c -f -o "$dir/strace" -p "$(members "$1")" 2>"$dir/strace.log" &
  pid[strace]=$!
  until [[ -s "$dir/strace.log" ]]; do
    kill -0 "${pid[strace]}" 2>/dev/null || die "strace does not attach"
    sleep 0.05
  done
  load_shape "$1" -duration 60s -requests "$counted_requests"
  interrupt strace
  note "$row" calls="$(awk -v n="${found[requests]}" '$NF == "total" { print $4 / n }' "$dir/strace")"
  [[ $round != "$rounds" ]] || list_calls "$row" >>"$dir/calls"
}

# interrupt NAME sends SIGINT to a program, which then prints its counts and exits.
interrupt() {
  kill -INT "${pid[$1]}"
  wait "${pid[$1]}" || true
  unset "pid[$1]"
}

# list_calls ROW prints the calls that are made at least once in 100 requests.
list_calls() {
  awk -v row="$1" -v n="${found[requests]}" '
    $1 ~ /^[0-9.]+$/ && $NF != "total" && $4 >= n / 100 { list = list sprintf(", %s %.2f", $NF, $4 / n) }
    END { print "- " row ": " substr(list, 3) }' "$dir/strace"
}
