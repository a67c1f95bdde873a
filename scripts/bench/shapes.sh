#!/usr/bin/env bash
#
# The table shapes: the cost of certgate and of gateways that check nothing, for each kind
# of traffic (shape). Sourced by bench.sh.
# shellcheck disable=SC2034,SC2154 # the other parts and bench.sh share their variables

# SHAPES are the names of the rows on the command line.
SHAPES=(mixed one fixed rate get-1K get-16K get-100K get-1M get-10M post-4K post-60K post-256K post-1M
  chunked-4K chunked-256K cores memory nethttp https assertion assertion-bound)

# The gateways of the table. Ratios are relative to the first one.
SHAPE_GATEWAYS=(nginx haproxy relay fastpath certgate)

# assertions are the settings with which certgate signs assertions.
assertions=(ASSERTION_KEY_FILE="$dir/assertion.key" ASSERTION_ISSUER=https://gateway.example ASSERTION_AUDIENCE=https://service.example)

# warm_up is the duration of the load before each measurement, which opens the connections
# and fills the cache of certificates.
warm_up=400ms

table_shapes() {
  local shape gateway shapes=("${rows[@]}") columns=() details=()
  ((${#shapes[@]} > 0)) || shapes=("${SHAPES[@]}")
  choose_gateways
  start_upload
  [[ -z "$profile" ]] || build_profiled
  begin_table shapes
  [[ -z "$busy" ]] || client cachewriter "$dir/bin/cachewriter" -duration 1h
  for shape in "${shapes[@]}"; do measure_shape "$shape"; done
  [[ -z "$busy" ]] || stop cachewriter
  stop upload
  for gateway in "${SHAPE_GATEWAYS[@]}"; do
    [[ $gateway != nginx ]] || continue
    columns+=("$gateway-rps/nginx-rps:$gateway requests/s:%.2f" "$gateway-cpu/nginx-cpu:$gateway CPU:%.2f")
  done
  for gateway in "${SHAPE_GATEWAYS[@]}"; do
    details+=("$gateway-memory:$gateway peak MiB:%.0f" "$gateway-core:% of a core:%.0f" "$gateway-system:% in system calls:%.0f"
      "$gateway-voluntary:waits:%.2f" "$gateway-involuntary:preempted:%.2f")
  done
  print_table "Shapes of traffic${busy:+ beside a memory-hungry process}: ratios to nginx in the same round:" \
    'nginx-rps:nginx requests/s:%.0f' 'nginx-cpu:nginx CPU ms per 1,000:%.1f' "${columns[@]}"
  print_table 'The same: memory, use of the cores, the part of it in system calls, and context switches per request:' "${details[@]}"
}

# choose_gateways selects the gateways of --only, without HAProxy if it is not installed.
choose_gateways() {
  local gateway chosen=()
  for gateway in "${SHAPE_GATEWAYS[@]}"; do
    [[ " ${only[*]} " == *" $gateway "* ]] || continue
    [[ $gateway != haproxy ]] || available haproxy haproxy || continue
    chosen+=("$gateway")
  done
  SHAPE_GATEWAYS=("${chosen[@]}")
}

# can_forward GATEWAY SHAPE succeeds if the gateway has what the shape needs.
can_forward() {
  case $2/$1 in
    https/relay | https/fastpath) false ;; # no TLS to the upstream
    chunked-*/fastpath) false ;;           # no bodies of unknown length
  esac
}

# start_upload starts the upstream that reads bodies.
start_upload() {
  port[upload]=$(free_port)
  start upload 1 env GOMAXPROCS=1 "$dir/bin/upload" -listen "127.0.0.1:${port[upload]}"
}

# describe SHAPE sets the variables of a shape: its title, the path and the flags of the
# load, the upstream, the cores, and settings of certgate.
describe() {
  local size
  title=$1 path=/events flags=(-order each -connections 16) settings=()
  behind=upstream scheme=http verify='' gateway_cores=0 workers=1 load_cores=1
  case $1 in
    mixed) title='16 clients in turn on every connection (mixed)' ;;
    one) title='one client that repeats one request' flags=(-order fixed -connections 16 -header-file "$dir/header") ;;
    fixed) title='16 clients, each fixed to a connection' flags=(-order fixed -connections 16) ;;
    rate) title='2,000 requests/s' flags+=(-rate 2000) ;;
    get-*) size=${1#*-} title="GET, $size response" path=/files/$size flags+=(-method GET) ;;
    post-*) size=${1#*-} title="POST, $size body" behind=upload flags+=(-body "$(numfmt --from=iec "$size")") ;;
    chunked-*)
      size=${1#*-} title="POST, $size body in chunks" behind=upload
      flags+=(-chunked -body "$(numfmt --from=iec "$size")")
      ;;
    cores) title='two cores, unpinned' gateway_cores=0,1 workers=2 load_cores=0,1 ;;
    memory) title='32 connections' flags=(-order each -connections 32) ;;
    nethttp) title='certgate with HTTP_FAST_PATH=false' settings=(HTTP_FAST_PATH=false) ;;
    assertion) title='signed assertions' settings=("${assertions[@]}") ;;
    assertion-bound) title='signed assertions bound to the request' settings=("${assertions[@]}" ASSERTION_BIND=request) ;;
    https) title='https upstream' behind=tls scheme=https verify=" ssl verify required ca-file $dir/tls.crt verifyhost localhost" ;;
  esac
}

# measure_shape SHAPE starts the gateways that can forward this shape, and loads them one after
# the other in each round. The others are idle meanwhile. The less time is between two gateways,
# the less of a change of the machine's speed is in the ratio.
measure_shape() {
  local title path flags settings verify behind scheme gateway_cores workers load_cores round gateway gateways=()
  describe "$1"
  taskset -apc "$load_cores" "${pid[upstream]}" >/dev/null
  for gateway in "${SHAPE_GATEWAYS[@]}"; do
    can_forward "$gateway" "$1" || continue
    gateways+=("$gateway")
    [[ $gateway != certgate || -z "$profile" ]] || settings+=(BENCH_PROFILE="$dir/profile")
    "start_$gateway" "$gateway" "${settings[@]}"
    load_shape "$gateway" -duration "$warm_up"
  done
  toggle_profile
  for ((round = 1; round <= rounds; round++)); do
    for gateway in "${gateways[@]}"; do measure_gateway "$gateway"; done
  done
  keep_profile "$1"
  for gateway in "${gateways[@]}"; do stop "$gateway"; done
  taskset -apc 1 "${pid[upstream]}" >/dev/null
}

measure_gateway() { # GATEWAY
  local before waits spent
  read -r -a waits <<<"$(switches "$1")"
  read -r -a spent <<<"$(ticks "$1")"
  before=$(cpu_time "$1")
  load_shape "$1" -duration "${seconds}s"
  note_shape "$1" "$before" "${waits[@]}" "${spent[@]}"
}

# load_shape GATEWAY FLAG… sends the load of the shape that was described.
load_shape() {
  load -header-file "$dir/header.mixed" "${flags[@]}" -url "http://127.0.0.1:${port[$1]}$path" "${@:2}"
  ((found[ok] == found[requests] && found[ok] > 0)) ||
    die "$1, $title: ${found[refused]} of ${found[requests]} refused, ${found[lost]} lost"
}

note_shape() { # GATEWAY CPU-BEFORE WAITS-BEFORE PREEMPTED-BEFORE USER-TICKS-BEFORE SYSTEM-TICKS-BEFORE
  local used waits spent n=${found[requests]}
  used=$(calculate "$(cpu_time "$1") - $2")
  read -r -a waits <<<"$(switches "$1")"
  read -r -a spent <<<"$(ticks "$1")"
  note "$title" "$1-rps=$(calculate "${found[ok]} / ${found[elapsed]}")" "$1-cpu=$(calculate "$used / $n * 1e6")" \
    "$1-core=$(calculate "$used / ${found[elapsed]} * 100")" "$1-memory=$(peak_memory "$1")" \
    "$1-system=$(calculate "(${spent[1]} - $6) / (${spent[0]} - $5 + ${spent[1]} - $6) * 100")" \
    "$1-voluntary=$(calculate "(${waits[0]} - $3) / $n")" "$1-involuntary=$(calculate "(${waits[1]} - $4) / $n")"
}

# ---- profiles ----------------------------------------------------------------

# build_profiled builds certgate with test/bench/profile.go.txt.
build_profiled() {
  mkdir -p "$profile"
  echo "{\"Replace\": {\"$PWD/cmd/certgate/profile.go\": \"$PWD/test/bench/profile.go.txt\"}}" >"$dir/overlay.json"
  CGO_ENABLED=0 go build -tags nomsgpack -trimpath -ldflags '-s -w' -overlay "$dir/overlay.json" -o "$dir/bin/certgate" ./cmd/certgate
}

# toggle_profile starts the CPU profile of certgate, or ends it if it runs.
toggle_profile() { [[ -z "$profile" ]] || kill -USR1 "${pid[certgate]}"; }

# keep_profile SHAPE ends the profile and moves it to its directory.
keep_profile() {
  [[ -n "$profile" ]] || return 0
  toggle_profile
  until [[ -e "$dir/profile" ]]; do
    kill -0 "${pid[certgate]}" 2>/dev/null || die "certgate ended before its profile was written"
    sleep 0.05
  done
  mv "$dir/profile" "$profile/$1.pprof"
}
