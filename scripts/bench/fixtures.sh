#!/usr/bin/env bash
#
# What every table needs: programs, keys, certificates, the upstream, certgate.
# Sourced by bench.sh.
# shellcheck disable=SC2004,SC2154 # the other parts and bench.sh share their variables

make_fixtures() {
  go build -tags nomsgpack -o "$dir/bin/" ./cmd/certgate ./test/bench/...
  scripts/sitepoint.sh --ou mail --dir "$dir/keys" >/dev/null
  scripts/header.sh "$dir/keys/mail.crt" --form percent >"$dir/header"
  scripts/header.sh "$dir/keys/mail.crt" --form der >"$dir/header.der"
  scripts/sitepoint.sh --ou mail --dir "$dir/stranger" >/dev/null
  scripts/header.sh "$dir/stranger/mail.crt" --form percent >"$dir/header.stranger"
  echo 'rules: [{name: apps, clients: [mail], allow: ["POST /events"]}]' >"$dir/rules.yaml"
  port[upstream]=$(free_port)
  render upstream.conf upstream "$dir/upstream/nginx.conf"
  start upstream 1 nginx -p "$dir/upstream" -c "$dir/upstream/nginx.conf"
}

# render TEMPLATE NAME FILE fills in a configuration for the server NAME.
render() {
  mkdir -p "$(dirname "$3")"
  sed -e "s|@DIR@|$dir/$2|g" -e "s|@HERE@|$here|g" -e "s|@MODULES@|${modules:-}|g" \
    -e "s|@PORT@|${port[$2]}|g" -e "s|@UPSTREAM_PORT@|${port[upstream]}|g" \
    -e "s|@PUBLIC_KEY_FILE@|$dir/keys/ca.pub|g" "$here/$1" >"$3"
}

# served prints how many requests the upstream has had.
served() {
  curl -s "http://127.0.0.1:${port[upstream]}/served" | awk 'NR == 3 { print $3 }'
}

# start_certgate NAME [VARIABLE=VALUE]… starts certgate with every check on.
start_certgate() {
  local name=$1
  shift
  port[$name]=$(free_port)
  start "$name" 0 env LISTEN_ADDR="127.0.0.1:${port[$name]}" ADMIN_ADDR='' \
    UPSTREAM_URL="http://127.0.0.1:${port[upstream]}" AUTH_PUBLIC_KEY_FILE="$dir/keys/ca.pub" \
    ACCESS_RULES_FILE="$dir/rules.yaml" "$@" "$dir/bin/certgate" serve
}
