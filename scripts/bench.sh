#!/usr/bin/env bash
#
# Compares certgate with proxies that check nothing, side by side in one run.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/bench.sh [--rounds N] [--seconds N] [--connections N]

POST /events of 120 bytes with an RSA-2048 certificate in the header, through each
gateway in turn, round by round: nginx (plain proxy_pass), HAProxy if it is
installed, and certgate with every check on. The gateway has one core, load and
upstream another. Prints medians with minimum and maximum, and ratios to nginx.
All traffic stays on the loopback interface, on free ports.

  --rounds       interleaved rounds, default 5
  --seconds      of load for each gateway in each round, default 3
  --connections  kept-alive connections of the load, default 16

Needs nginx, wrk, openssl, curl, taskset and Go. Machines are noisy: compare the
ratios of one run, not the figures of two.

Exit: 0 measured, 1 something failed, 2 wrong usage.
TEXT
}

rounds=5 seconds=3 connections=16
while (($# > 0)); do
  case "$1" in
    --rounds | --seconds | --connections)
      [[ "${2:-}" =~ ^[1-9][0-9]{0,3}$ ]] || { echo "bench.sh: $1 wants a number from 1 to 9999" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    --help) usage; exit 0 ;;
    *) echo "bench.sh: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done

PATH="$PATH:/usr/sbin:/sbin"
for tool in nginx wrk openssl curl taskset go; do
  command -v "$tool" >/dev/null || { echo "bench.sh: $tool is not installed" >&2; exit 1; }
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$(mktemp -d)
pids=()
cleanup() {
  ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

# free_port prints a port that nobody listens on just now.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 30000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  return 1
}

nginx_config() { # NAME BODY
  mkdir -p "$dir/$1"
  cat >"$dir/$1/nginx.conf" <<TEXT
worker_processes 1; error_log stderr error; pid $dir/$1/pid; daemon off;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path $dir/$1/b; proxy_temp_path $dir/$1/p; fastcgi_temp_path $dir/$1/f;
  uwsgi_temp_path $dir/$1/u; scgi_temp_path $dir/$1/s;
  $2
}
TEXT
}

await() { # PORT
  for _ in {1..100}; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "bench.sh: nothing listens on port $1" >&2
  return 1
}

# cpu_ticks PID prints user and system time of a process and its children.
cpu_ticks() {
  local pid total=0 stat
  for pid in "$1" $(pgrep -P "$1" || true); do
    stat=$(<"/proc/$pid/stat")
    # shellcheck disable=SC2086 # the fields behind the command's name
    set -- ${stat##*) }
    total=$((total + ${12} + ${13}))
  done
  echo "$total"
}

declare -A port pid
up=$(free_port)
nginx_config up "server { listen 127.0.0.1:$up backlog=4096;
  location / { return 200 \"\$http_x_client_id|\$http_x_ssl_auth\"; } }"
taskset -c 1 nginx -p "$dir/up" -c "$dir/up/nginx.conf" & pids+=($!)
await "$up"

scripts/master-key.sh --dir "$dir/keys" >/dev/null
scripts/sitepoint.sh --ou mail --dir "$dir/keys" >/dev/null
scripts/header.sh "$dir/keys/mail.crt" --form percent >"$dir/header"

port[nginx]=$(free_port)
nginx_config proxy "upstream service { server 127.0.0.1:$up; keepalive 64; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port[nginx]} backlog=4096; large_client_header_buffers 4 32k;
    location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }"
taskset -c 0 nginx -p "$dir/proxy" -c "$dir/proxy/nginx.conf" & pids+=($!)
pid[nginx]=$!

gateways=(nginx)
if command -v haproxy >/dev/null; then
  port[haproxy]=$(free_port)
  cat >"$dir/haproxy.cfg" <<TEXT
global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${port[haproxy]}
  default_backend b
backend b
  server s 127.0.0.1:$up
TEXT
  taskset -c 0 haproxy -q -f "$dir/haproxy.cfg" & pids+=($!)
  pid[haproxy]=$!
  gateways+=(haproxy)
fi

go build -tags nomsgpack -o "$dir/certgate" ./cmd/certgate
port[certgate]=$(free_port)
LISTEN_ADDR="127.0.0.1:${port[certgate]}" ADMIN_ADDR='' UPSTREAM_URL="http://127.0.0.1:$up" \
  AUTH_PUBLIC_KEY="$(<"$dir/keys/ca.pub")" GOMAXPROCS=1 \
  ACCESS_RULES='rules: [{name: apps, clients: [mail], allow: ["POST /events"]}]' \
  taskset -c 0 "$dir/certgate" serve 2>"$dir/certgate.log" & pids+=($!)
pid[certgate]=$!
gateways+=(certgate)

for g in "${gateways[@]}"; do await "${port[$g]}"; done

# Did it really forward, identify and strip?
seen=$(curl -s -d x -H "X-SSL-Auth: $(<"$dir/header")" "http://127.0.0.1:${port[certgate]}/events")
[[ "$seen" == "mail|" ]] || { echo "bench.sh: want the upstream to see mail and no certificate" >&2; exit 1; }
[[ $(curl -s -o /dev/null -w '%{http_code}' -d x "http://127.0.0.1:${port[certgate]}/events") == 401 ]] ||
  { echo "bench.sh: want a request without certificate refused" >&2; exit 1; }

cat >"$dir/post.lua" <<TEXT
wrk.method = "POST"
wrk.body = string.rep("x", 120)
wrk.headers["Content-Type"] = "application/json"
for line in io.lines("$dir/header") do wrk.headers["X-SSL-Auth"] = line end
TEXT

hertz=$(getconf CLK_TCK)
for ((round = 1; round <= rounds; round++)); do
  for g in "${gateways[@]}"; do
    before=$(cpu_ticks "${pid[$g]}")
    taskset -c 1 wrk -t1 -c"$connections" -d"${seconds}s" -s "$dir/post.lua" \
      "http://127.0.0.1:${port[$g]}/events" >"$dir/wrk"
    after=$(cpu_ticks "${pid[$g]}")
    if grep -q 'Non-2xx\|Socket errors' "$dir/wrk"; then
      echo "bench.sh: $g did not answer everything with 200:" >&2
      grep 'Non-2xx\|Socket errors' "$dir/wrk" >&2
      exit 1
    fi
    awk -v g="$g" -v ticks=$((after - before)) -v hz="$hertz" '
      /requests in/ { n = $1 } /Requests\/sec/ { rps = $2 }
      END { printf "%s %.0f %.3f\n", g, rps, ticks / hz * 1e6 / n }' "$dir/wrk" >>"$dir/results"
  done
done

echo "$rounds rounds of ${seconds}s, $connections connections; $(nproc) cores; $(date -u +%F)"
sort -s -k1,1 "$dir/results" | awk '
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j-1]; j--) { t = list[j]; list[j] = list[j-1]; list[j-1] = t }
    low = list[1]; high = list[n]
    return n % 2 ? list[(n+1)/2] : (list[n/2] + list[n/2+1]) / 2
  }
  { rps[$1, ++n[$1]] = $2; cpu[$1, n[$1]] = $3 }
  END {
    printf "%-10s %28s %8s %26s %8s\n", "gateway", "requests/s (min-max)", "vs nginx", "CPU us/request (min-max)", "vs nginx"
    split("nginx haproxy certgate", order, " ")
    for (k = 1; k <= 3; k++) {
      g = order[k]
      if (!(g in n)) continue
      for (i = 1; i <= n[g]; i++) { a[i] = rps[g, i]; b[i] = cpu[g, i] }
      mr = median(a, n[g]); r = sprintf("%.0f (%.0f-%.0f)", mr, low, high)
      mc = median(b, n[g]); c = sprintf("%.1f (%.1f-%.1f)", mc, low, high)
      if (g == "nginx") { nr = mr; nc = mc }
      printf "%-10s %28s %8.2f %26s %8.2f\n", g, r, mr / nr, c, mc / nc
    }
  }'
