#!/usr/bin/env bash
#
# The table growth: the cost of a request with increasing numbers of certificates, rules,
# connections and addresses of the upstream. Sourced by bench.sh.
# shellcheck disable=SC2154 # the other parts and bench.sh share their variables

table_growth() {
  local round n
  "$dir/bin/certificates" -count 100000 -public "$dir/issued.pub" >"$dir/issued"
  echo 'rules: [{name: apps, clients: ["*"], allow: ["POST /events"]}]' >"$dir/all-clients.yaml"
  begin_table growth
  for ((round = 1; round <= rounds; round++)); do
    for n in 1 100 10000 100000; do grow_certificates "$n"; done
    for n in 1 100 10000; do grow_rules "$n"; done
    for n in 16 1000 10000; do grow_connections "$n"; done
    for n in 16 1000 10000; do grow_idle "$n"; done
    for n in 1 8 64; do grow_addresses "$n"; done
  done
  print_table "certgate with growing numbers, at full load:" \
    'rps:requests/s:%.0f:ratio' 'cpu:CPU ms per 1,000:%.1f:ratio' 'memory:peak MiB:%.0f'
}

# grow_certificates N: N clients in turn, whose certificates are all in the cache.
grow_certificates() {
  head -n "$1" "$dir/issued" >"$dir/some"
  start_certgate growing AUTH_PUBLIC_KEY_FILE="$dir/issued.pub" ACCESS_RULES_FILE="$dir/all-clients.yaml"
  measure_growth "certificates, $1" "$dir/some" "$1" 16
  stop growing
}

# grow_rules N: there are N rules. The last rule allows the requests.
grow_rules() {
  {
    echo "rules:"
    for ((i = 1; i < $1; i++)); do
      echo "  - {name: rule-$i, clients: [app-$i], allow: [\"POST /events/$i\", \"GET /things/{id}/$i\"]}"
    done
    echo "  - {name: apps, clients: [mail], allow: [\"POST /events\"]}"
  } >"$dir/grown.yaml"
  start_certgate growing ACCESS_RULES_FILE="$dir/grown.yaml"
  measure_growth "rules, $1" "$dir/header" 1 16
  stop growing
}

# grow_connections N: N connections in turn, 16 at a time, each with 16 certificates in turn.
grow_connections() {
  start_certgate growing MAX_CONNECTIONS=20000
  measure_growth "connections, $1" "$dir/header.mixed" "$1" "$1" -order each -in-flight 16
  stop growing
}

# grow_idle N: there are N connections. 16 of them send requests; each of the others has sent
# one request and is idle.
grow_idle() {
  local idle=$(($1 - 16))
  start_certgate growing MAX_CONNECTIONS=20000
  ((idle == 0)) || hold idle -url "http://127.0.0.1:${port[growing]}/events" -header-file "$dir/header" -connections "$idle"
  measure_growth "mostly idle connections, $1" "$dir/header.mixed" 16 16 -order each
  ((idle == 0)) || stop idle
  stop growing
}

# grow_addresses N: the upstream has N addresses.
grow_addresses() {
  local urls
  urls=$(printf ",http://127.0.1.%d:${port[upstream]}" $(seq "$1"))
  start_certgate growing UPSTREAM_URL="${urls:1}"
  measure_growth "addresses of the upstream, $1" "$dir/header.mixed" 1 16 -order each
  stop growing
}

# hold NAME FLAG… starts a load that sends a request on each connection and then waits.
hold() {
  : >"$dir/$1.out" # the load before may have left its report
  client "$1" "$dir/bin/load" "${@:2}" -hold
  until [[ -s "$dir/$1.out" ]]; do
    kill -0 "${pid[$1]}" 2>/dev/null || die "the connections were not made: is ulimit -n large enough?"
    sleep 0.05
  done
}

# measure_growth ROW HEADER-FILE LEAST CONNECTIONS [FLAG]… measures after a warm-up of at
# least LEAST requests, and at least one on each connection.
measure_growth() {
  local before used least=$(($3 > 10000 ? $3 : 10000))
  local flags=(-url "http://127.0.0.1:${port[growing]}/events" -header-file "$2" -connections "$4" "${@:5}")
  load "${flags[@]}" -duration 60s -requests "$least"
  check_growing
  hold load "${flags[@]}" -duration "${seconds}s"
  before=$(cpu_time growing)
  kill -USR1 "${pid[load]}"
  finish load
  read_report load
  check_growing
  used=$(calculate "$(cpu_time growing) - $before")
  note "$1" rps="$(calculate "${found[ok]} / ${found[elapsed]}")" \
    cpu="$(calculate "$used / ${found[requests]} * 1e6")" memory="$(peak_memory growing)"
}

check_growing() {
  ((found[ok] == found[requests])) ||
    die "certgate: ${found[refused]} of ${found[requests]} refused, ${found[lost]} lost"
}
