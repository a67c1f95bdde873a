#!/usr/bin/env bash
#
# The table of growth: what a request costs as certificates, rules and
# connections grow in number. Sourced by bench.sh.
# shellcheck disable=SC2154 # the other parts and bench.sh share their variables

table_growth() {
  local round n
  "$dir/bin/certificates" -count 10000 -public "$dir/issued.pub" >"$dir/issued"
  echo 'rules: [{name: apps, clients: ["*"], allow: ["POST /events"]}]' >"$dir/anybody.yaml"
  begin_table growth
  for ((round = 1; round <= rounds; round++)); do
    for n in 1 100 10000; do grow_certificates "$n"; done
    for n in 1 100 10000; do grow_rules "$n"; done
    for n in 16 1000 5000; do grow_connections "$n"; done
  done
  print_table "certgate as things grow in number, flat out:" \
    'rps:requests/s:%.0f:ratio' 'cpu:CPU ms per 1,000:%.1f:ratio' 'memory:peak MiB:%.0f'
}

# grow_certificates N: as many clients take turns, each known already.
grow_certificates() {
  head -n "$1" "$dir/issued" >"$dir/some"
  start_certgate growing AUTH_PUBLIC_KEY_FILE="$dir/issued.pub" ACCESS_RULES_FILE="$dir/anybody.yaml"
  measure_growth "certificates, $1" "$dir/some"
  stop growing
}

# grow_rules N: the rule that counts comes last.
grow_rules() {
  {
    echo "rules:"
    for ((i = 1; i < $1; i++)); do
      echo "  - {name: rule-$i, clients: [app-$i], allow: [\"POST /events/$i\", \"GET /things/{id}/$i\"]}"
    done
    echo "  - {name: apps, clients: [mail], allow: [\"POST /events\"]}"
  } >"$dir/grown.yaml"
  start_certgate growing ACCESS_RULES_FILE="$dir/grown.yaml"
  measure_growth "rules, $1" "$dir/header"
  stop growing
}

# grow_connections N: 16 of them are busy, the others have sent a request before.
grow_connections() {
  local before idle=$(($1 - 16))
  start_certgate growing
  before=$(served)
  client idle "$dir/bin/load" -url "http://127.0.0.1:${port[growing]}/events" -header-file "$dir/header" \
    -idle "$idle" -connections 1 -rate 0.001 -duration 1h
  until (($(served) - before >= idle)); do
    kill -0 "${pid[idle]}" 2>/dev/null || die "want $idle idle connections: is ulimit -n large enough?"
    sleep 0.05
  done
  measure_growth "connections, $1" "$dir/header"
  stop idle
  stop growing
}

load_growing() { # HEADER-FILE [FLAG]…
  local file=$1
  shift
  load -url "http://127.0.0.1:${port[growing]}/events" -header-file "$file" \
    -connections 16 -duration "${seconds}s" "$@"
  ((found[ok] == found[requests])) ||
    die "certgate: ${found[refused]} of ${found[requests]} refused, ${found[lost]} lost"
}

measure_growth() { # ROW HEADER-FILE
  local before used
  # First the cost of starting goes by, and every certificate becomes known.
  load_growing "$2" -duration 60s -requests 10000
  before=$(cpu_time growing)
  load_growing "$2"
  used=$(calculate "$(cpu_time growing) - $before")
  note "$1" rps="$(calculate "${found[ok]} / ${found[elapsed]}")" \
    cpu="$(calculate "$used / ${found[requests]} * 1e6")" memory="$(peak_memory growing)"
}
