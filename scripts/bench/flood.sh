#!/usr/bin/env bash
#
# The table of the flood: what good clients notice of one. Sourced by bench.sh.
# shellcheck disable=SC2154 # the other parts and bench.sh share their variables

# good_rate is requests a second of the good clients.
good_rate=500

table_flood() {
  local round setting flooding
  start_certgate flood-default
  start_certgate flood-off AUTH_FAILURE_RATE=0
  check_flood
  begin_table flood
  for ((round = 1; round <= rounds; round++)); do
    for setting in default off; do
      for flooding in 0 2 64; do measure_flood "$setting" "$flooding"; done
    done
  done
  stop flood-default
  stop flood-off
  print_table "certgate, $good_rate good requests/s, beside connections with forged certificates:" \
    'served:good served %:%.2f' 'p50:p50 ms:%.2f:ratio' 'p99:p99 ms:%.2f:ratio' \
    'core:gateway, % of a core:%.0f' 'refused:forged refused/s:%.0f'
}

# flood NAME CONNECTIONS SECONDS begins to send forged certificates flat out. It is
# nice to the good load on its core: the gateway is to be measured, not the scheduler.
flood() {
  client flood nice -n 19 "$dir/bin/load" -url "http://127.0.0.1:${port[$1]}/events" -from 127.0.0.2 \
    -header-file "$dir/header.der" -forge -connections "$2" -duration "$3s"
}

# check_flood makes sure that forgeries are refused, and the certificate itself,
# in the form they are made from, is not.
check_flood() {
  flood flood-off 1 1
  finish flood
  read_report flood
  ((found[ok] == 0 && found[refused] > 0)) || die "want every forgery refused, found ${found[ok]} accepted"
  expect certgate "the certificate that is forged" 200 "$(post flood-off "$dir/header.der" -o /dev/null)"
}

measure_flood() { # default|off CONNECTIONS
  local name=flood-$1 row="failure rate $1, quiet" before began used
  : >"$dir/$name.log"
  if (($2 > 0)); then
    row="failure rate $1, flood of $2"
    # Around the good load at both ends.
    flood "$name" "$2" "$((seconds + 2))"
    sleep 1
  fi
  before=$(cpu_time "$name") began=$EPOCHREALTIME
  load -url "http://127.0.0.1:${port[$name]}/events" -header-file "$dir/header" \
    -rate "$good_rate" -duration "${seconds}s" -connections "$connections"
  used=$(calculate "($(cpu_time "$name") - $before) / ($EPOCHREALTIME - $began) * 100")
  note "$row" served="$(calculate "${found[ok]} / ${found[requests]} * 100")" \
    p50="${found[p50]}" p99="${found[p99]}" core="$used"
  (($2 > 0)) || return 0
  finish flood
  read_report flood
  ((found[ok] == 0)) || die "certgate accepted ${found[ok]} forged certificates"
  note "$row" refused="$(calculate "${found[refused]} / ${found[elapsed]}")"
}
