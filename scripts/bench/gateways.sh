#!/usr/bin/env bash
#
# The table gateways: starts each gateway, checks its responses, and measures it.
# Sourced by bench.sh.
# shellcheck disable=SC2154 # the other parts and bench.sh share their variables

# latency_rate is the number of requests per second with which latencies are measured.
# Every gateway can serve this rate.
latency_rate=2000

table_gateways() {
  local round gateway running=()
  need wrk wrk
  write_wrk_script
  for gateway in "${only[@]}"; do
    "start_${gateway/-/_}" "$gateway" || continue
    running+=("$gateway")
    check_forwards "$gateway"
  done
  begin_table gateways
  for ((round = 1; round <= rounds; round++)); do
    for gateway in "${running[@]}"; do
      : >"$dir/logs/$gateway.log"
      measure_saturation "$gateway"
      measure_latency "$gateway"
    done
  done
  for gateway in "${running[@]}"; do
    note "$gateway" memory="$(peak_memory "$gateway")"
    stop "$gateway"
  done
  print_table "Gateways, $connections connections${changing:+, changing requests}, latency at $latency_rate requests/s:" \
    'rps:requests/s:%.0f:ratio' 'cpu:CPU ms per 1,000:%.1f:ratio' \
    'p50:p50 ms:%.2f:ratio' 'p99:p99 ms:%.2f:ratio' 'memory:peak MiB:%.0f'
}

# ---- starting ----------------------------------------------------------------

# available GATEWAY PACKAGE succeeds if the command with the gateway's name is installed.
available() { command -v "$1" >/dev/null || left_out "$1" "$2"; }

left_out() { # GATEWAY PACKAGE
  echo "bench.sh: $1 is left out, it is not installed: apt-get install $2" >&2
  return 1
}

start_nginx() {
  port[nginx]=$(free_port)
  render nginx.conf nginx "$dir/nginx/nginx.conf"
  start nginx "$gateway_cores" nginx -p "$dir/nginx" -c "$dir/nginx/nginx.conf"
}

start_nginx_lua() {
  modules=$(nginx -V 2>&1 | tr ' ' '\n' | sed -n 's/^--modules-path=//p')
  [[ -e "$modules/ngx_http_lua_module.so" ]] || left_out nginx-lua libnginx-mod-http-lua || return
  port[nginx-lua]=$(free_port)
  render nginx-lua.conf nginx-lua "$dir/nginx-lua/nginx.conf"
  start nginx-lua 0 nginx -p "$dir/nginx-lua" -c "$dir/nginx-lua/nginx.conf"
}

start_haproxy() {
  available haproxy haproxy || return
  port[haproxy]=$(free_port)
  render haproxy.cfg haproxy "$dir/haproxy/haproxy.cfg"
  start haproxy "$gateway_cores" haproxy -q -f "$dir/haproxy/haproxy.cfg"
}

start_caddy() {
  available caddy caddy || return
  port[caddy]=$(free_port)
  render Caddyfile caddy "$dir/caddy/Caddyfile"
  start caddy 0 env HOME="$dir/caddy" XDG_DATA_HOME="$dir/caddy" XDG_CONFIG_HOME="$dir/caddy" \
    caddy run --config "$dir/caddy/Caddyfile" --adapter caddyfile
}

start_reverseproxy() {
  port[reverseproxy]=$(free_port)
  start reverseproxy 0 "$dir/bin/reverseproxy" -listen "127.0.0.1:${port[reverseproxy]}" \
    -upstream "http://127.0.0.1:${port[upstream]}"
}

start_relay() {
  port[relay]=$(free_port)
  start relay "$gateway_cores" "$dir/bin/relay" -listen "127.0.0.1:${port[relay]}" \
    -upstream "127.0.0.1:${port[$behind]}"
}

start_fastpath() {
  port[fastpath]=$(free_port)
  start fastpath "$gateway_cores" "$dir/bin/fastpath" -listen "127.0.0.1:${port[fastpath]}" \
    -upstream "127.0.0.1:${port[$behind]}"
}

# ---- checking ----------------------------------------------------------------

# post GATEWAY HEADER-FILE [CURL-FLAG]… prints body and status of the response.
post() {
  local url="http://127.0.0.1:${port[$1]}/events" credential=(-H "X-SSL-Auth: $(<"$2")")
  [[ -s "$2" ]] || credential=()
  shift 2
  curl -s -w '%{http_code}' -H 'X-Client-Id: evil' -d "$(printf 'x%.0s' {1..120})" "${credential[@]}" "$@" "$url"
}

# expect GATEWAY WHAT WANT FOUND ends the run if FOUND differs from WANT.
expect() { [[ "$3" == "$4" ]] || die "$1: $2: want $(printf %q "$3"), found $(printf %q "${4:0:200}")"; }

check_forwards() { # GATEWAY
  local passed='present evil' status
  [[ $1 == fastpath ]] && passed='stripped evil'
  [[ $1 == certgate || $1 == nginx-lua ]] && passed='stripped mail'
  expect "$1" "what the upstream gets" "POST /events 120 $passed"$'\n200' "$(post "$1" "$dir/header")"
  [[ $passed == 'stripped mail' ]] || return 0
  status=$(post "$1" /dev/null -o /dev/null)
  expect "$1" "a request without certificate" 401 "$status"
  status=$(post "$1" "$dir/header.untrusted" -o /dev/null)
  expect "$1" "a certificate of another authority" 403 "$status"
  status=$(post "$1" "$dir/header" -o /dev/null -X PUT)
  expect "$1" "a method that no rule allows" 403 "$status"
}

# ---- measuring ---------------------------------------------------------------

write_wrk_script() {
  cat >"$dir/post.lua" <<TEXT
wrk.method = "POST"
wrk.body = string.rep("x", 120)
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-SSL-Auth"] = "$(<"$dir/header")"
TEXT
  [[ -z "$changing" ]] || cat >>"$dir/post.lua" <<'TEXT'
local requests, last = {}, 0
function init()
  for i = 1, 1000 do
    wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", 7919 * i, 104729 * i)
    requests[i] = wrk.format(nil, "/events?id=" .. i)
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
TEXT
}

measure_saturation() { # GATEWAY
  local before served_before used answered
  served_before=$(served)
  before=$(cpu_time "$1")
  client wrk wrk -t1 -c"$connections" -d"${seconds}s" -s "$dir/post.lua" "http://127.0.0.1:${port[$1]}/events"
  finish wrk
  used=$(calculate "$(cpu_time "$1") - $before")
  if grep 'Non-2xx\|Socket errors' "$dir/wrk.out" >&2; then die "$1 did not answer everything with 200"; fi
  answered=$(awk '/requests in/ { print $1 }' "$dir/wrk.out")
  (($(served) - served_before >= answered)) || die "$1 answered more than it forwarded"
  note "$1" rps="$(awk '/Requests\/sec/ { print $2 }' "$dir/wrk.out")" cpu="$(calculate "$used / $answered * 1e6")"
}

measure_latency() { # GATEWAY
  load -url "http://127.0.0.1:${port[$1]}/events" -header-file "$dir/header" \
    -rate "$latency_rate" -duration "${seconds}s" -connections "$connections"
  ((found[ok] == found[requests])) ||
    die "$1 at $latency_rate requests/s: ${found[refused]} of ${found[requests]} refused, ${found[lost]} lost"
  note "$1" p50="${found[p50]}" p99="${found[p99]}"
}
