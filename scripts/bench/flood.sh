#!/usr/bin/env bash
#
# The table flood: success rate and latency of valid requests during a flood of
# forged credentials. Sourced by bench.sh.
# shellcheck disable=SC2154 # the other parts and bench.sh share their variables

# good_rate is the number of valid requests per second.
good_rate=500

# flooding is the number of connections that send forged credentials.
flooding=64

table_flood() {
  local round kind sources
  make_bad_credentials
  # The flood comes from 127.0.0.2, which sends the addresses of the sources in
  # X-Forwarded-For.
  start_certgate flood-default ACCESS_RULES_FILE="$dir/flood.yaml" TRUSTED_PROXIES=127.0.0.2/32
  start_certgate flood-off ACCESS_RULES_FILE="$dir/flood.yaml" TRUSTED_PROXIES=127.0.0.2/32 AUTH_FAILURE_RATE=0
  check_flood
  begin_table flood
  for ((round = 1; round <= rounds; round++)); do
    measure_flood default quiet 0
    for kind in certificates large-certificates signatures; do
      for sources in 1 1000; do measure_flood default "$kind" "$sources"; done
    done
    measure_flood off quiet 0
    measure_flood off certificates 1
  done
  stop flood-default
  stop flood-off
  print_table "certgate, $good_rate good requests/s, beside $flooding connections with forged credentials:" \
    'served:good served %:%.2f' 'lost:good lost:%.0f' 'p50:p50 ms:%.2f:ratio' 'p99:p99 ms:%.2f:ratio' \
    'core:gateway, % of a core:%.0f' 'refused:forged refused/s:%.0f'
}

# make_bad_credentials creates two further certificates from which forgeries are made: one
# of another CA with the largest number of elements that certgate accepts, and one of
# a client whose signatures are the most expensive to verify.
make_bad_credentials() {
  printf 'subjectAltName=URI:a:%s\n' "$(printf ',URI:a:%.0s' {2..270})" >"$dir/large.cnf"
  openssl x509 -req -in "$dir/untrusted/mail.csr" -CA "$dir/untrusted/ca.crt" -CAkey "$dir/untrusted/ca.key" -days 1 \
    -set_serial "0x01$(openssl rand -hex 15)" -extfile "$dir/large.cnf" -out "$dir/large.crt" 2>"$dir/large.log" ||
    die "openssl made no large certificate: $(<"$dir/large.log")"
  scripts/header.sh "$dir/large.crt" --form der >"$dir/header.large"
  openssl ecparam -name secp384r1 -genkey -noout -out "$dir/keys/signer.key"
  scripts/sitepoint.sh --ou signer --keep-key --dir "$dir/keys" >/dev/null
  scripts/header.sh "$dir/keys/signer.crt" --form der >"$dir/header.signer"
  cat >"$dir/flood.yaml" <<'TEXT'
rules:
  - {name: apps, clients: [mail], allow: ["POST /events"], proof: off}
  - {name: signed, clients: [signer], allow: ["POST /signed"], proof: require}
TEXT
}

# sign NAME prints the fields of a signed request of the client signer.
sign() {
  "$dir/bin/certgate" sign --cert "$dir/keys/signer.crt" --key "$dir/keys/signer.key" --content-type application/json \
    --data "$(printf 'x%.0s' {1..120})" POST "https://127.0.0.1:${port[$1]}/signed" | grep -v '^X-SSL-Auth:\|^Content-Type:'
}

# forged changes one character of the signature in the fields of a signed request.
forged() { sed -E '/^Signature:/ { s/(.{40})A/\1B/; t; s/(.{40})./\1A/ }'; }

# flood NAME KIND SOURCES SECONDS starts sending forged credentials at full load. It has a
# lower priority than the valid load on the same core, so that the scheduler does not
# delay valid requests.
flood() {
  local path=/events flags=(-forge -header-file "$dir/header.der")
  case $2 in
    large-certificates) flags=(-forge -header-file "$dir/header.large") ;;
    signatures)
      sign "$1" | forged >"$dir/fields.forged"
      path=/signed flags=(-header-file "$dir/header.signer" -fields-file "$dir/fields.forged")
      ;;
  esac
  (($3 == 1)) || flags+=(-sources "$3")
  client flood nice -n 19 "$dir/bin/load" -url "http://127.0.0.1:${port[$1]}$path" -from 127.0.0.2 \
    "${flags[@]}" -connections "$flooding" -duration "$4s"
}

# check_flood checks that forgeries are refused because of their signatures, and that the
# credentials from which they are made are accepted.
check_flood() {
  local kind
  for kind in certificates large-certificates signatures; do
    flood flood-off "$kind" 1 1
    finish flood
    read_report flood
    ((found[ok] == 0 && found[refused] > 0)) || die "want every forgery refused, found ${found[ok]} $kind accepted"
  done
  expect certgate certificate 'POST /events 120 stripped mail' "$(answer /events "$dir/header.der")"
  expect certgate "large certificate" certificate_untrusted "$(answer /events "$dir/header.large")"
  sign flood-off >"$dir/fields"
  expect certgate "signed request" 'POST /signed 120 stripped signer' \
    "$(answer /signed "$dir/header.signer" -H "@$dir/fields")"
  forged <"$dir/fields" >"$dir/fields.forged"
  expect certgate "forged signature" proof_invalid "$(answer /signed "$dir/header.signer" -H "@$dir/fields.forged")"
}

# answer PATH HEADER-FILE [CURL-FLAG]… sends a request and prints the body of the
# response, or the reason of a refusal.
answer() {
  curl -s -d "$(printf 'x%.0s' {1..120})" -H 'Content-Type: application/json' -H "X-SSL-Auth: $(<"$2")" "${@:3}" \
    "http://127.0.0.1:${port[flood-off]}$1" | sed -E 's/.*"reason":"([a-z_]+)".*/\1/'
}

measure_flood() { # default|off KIND SOURCES
  local name=flood-$1 row="failure rate $1, $2" before began used
  : >"$dir/logs/$name.log"
  if [[ $2 != quiet ]]; then
    row="failure rate $1, $2 of $3 source"
    (($3 == 1)) || row+=s
    # The flood begins before the valid load and ends after it.
    flood "$name" "$2" "$3" "$((seconds + 2))"
    sleep 1
  fi
  before=$(cpu_time "$name") began=$EPOCHREALTIME
  load -url "http://127.0.0.1:${port[$name]}/events" -header-file "$dir/header" \
    -rate "$good_rate" -duration "${seconds}s" -connections "$connections"
  used=$(calculate "($(cpu_time "$name") - $before) / ($EPOCHREALTIME - $began) * 100")
  note "$row" served="$(calculate "${found[ok]} / ${found[requests]} * 100")" lost="${found[lost]}" \
    p50="${found[p50]}" p99="${found[p99]}" core="$used"
  [[ $2 != quiet ]] || return 0
  finish flood
  read_report flood
  ((found[ok] == 0)) || die "certgate accepted ${found[ok]} forged credentials"
  note "$row" refused="$(calculate "${found[refused]} / ${found[elapsed]}")"
}
