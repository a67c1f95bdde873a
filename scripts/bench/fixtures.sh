#!/usr/bin/env bash
#
# Functions that every table needs: they build the programs, create keys and
# certificates, and start the upstream and certgate. Sourced by bench.sh.
# shellcheck disable=SC2004,SC2154 # the other parts and bench.sh share their variables

make_fixtures() {
  CGO_ENABLED=0 go build -tags nomsgpack -trimpath -ldflags '-s -w' -o "$dir/bin/" ./cmd/certgate ./test/bench/... # as in Dockerfile
  scripts/sitepoint.sh --ou mail --dir "$dir/keys" >/dev/null
  scripts/header.sh "$dir/keys/mail.crt" --form percent >"$dir/header"
  scripts/header.sh "$dir/keys/mail.crt" --form der >"$dir/header.der"
  scripts/sitepoint.sh --ou mail --dir "$dir/untrusted" >/dev/null
  scripts/header.sh "$dir/untrusted/mail.crt" --form percent >"$dir/header.untrusted"
  make_clients
  make_files
  openssl genpkey -algorithm ed25519 -out "$dir/assertion.key"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>"$dir/tls.log" ||
    die "openssl made no certificate for the upstream: $(<"$dir/tls.log")"
  port[upstream]=$(free_port) port[tls]=$(free_port)
  render upstream.conf upstream "$dir/upstream/nginx.conf"
  start upstream 1 nginx -p "$dir/upstream" -c "$dir/upstream/nginx.conf"
}

# make_clients creates the certificates of 16 clients, one of them mail, and the
# access rules for these clients.
make_clients() {
  local i
  for i in {2..16}; do
    cp "$dir/keys/mail.key" "$dir/keys/app-$i.key"
    scripts/sitepoint.sh --ou "app-$i" --dir "$dir/keys" --keep-key >/dev/null
    scripts/header.sh "$dir/keys/app-$i.crt" --form percent
  done | cat "$dir/header" - >"$dir/header.mixed"
  echo "rules: [{name: apps, clients: [mail$(printf ', app-%d' {2..16})], allow: ['POST /events', 'GET /files/{size}']}]" >"$dir/rules.yaml"
}

# make_files creates the files that the upstream sends for GET /files/SIZE. Every user
# can read them, because the worker of the upstream may run as another user.
make_files() {
  local size
  chmod a+x "$dir"
  mkdir "$dir/files"
  for size in 1K 16K 100K 1M 10M; do head -c "$size" /dev/zero >"$dir/files/$size"; done
}

# The server behind a gateway: its name, its scheme (http or https), and the options
# with which HAProxy verifies its certificate.
behind=upstream scheme=http verify=

# The cores of the gateways, and the number of their workers.
gateway_cores=0 workers=1

# render TEMPLATE NAME FILE writes the configuration of the server NAME to FILE, with
# the variables of the template replaced.
render() {
  mkdir -p "$(dirname "$3")"
  sed -e "s|@DIR@|$dir/$2|g" -e "s|@FIXTURES@|$dir|g" -e "s|@HERE@|$here|g" -e "s|@MODULES@|${modules:-}|g" \
    -e "s|@PORT@|${port[$2]}|g" -e "s|@UPSTREAM_PORT@|${port[$behind]}|g" \
    -e "s|@TLS_PORT@|${port[tls]}|g" -e "s|@SCHEME@|$scheme|g" -e "s|@WORKERS@|$workers|g" -e "s|@VERIFY@|$verify|g" \
    -e "s|@ADDRESSES@|$(printf "listen 127.0.1.%d:${port[$2]}; " {1..64})|g" \
    -e "s|@PUBLIC_KEY_FILE@|$dir/keys/ca.pub|g" "$here/$1" >"$3"
}

# served prints the number of requests that the upstream has received.
served() {
  curl -s "http://127.0.0.1:${port[upstream]}/served" | awk 'NR == 3 { print $3 }'
}

# start_certgate NAME [VARIABLE=VALUE]… starts certgate with every check enabled.
start_certgate() {
  local name=$1
  shift
  port[$name]=$(free_port)
  start "$name" "$gateway_cores" env LISTEN_ADDR="127.0.0.1:${port[$name]}" ADMIN_ADDR='' \
    UPSTREAM_URL="$scheme://127.0.0.1:${port[$behind]}" SSL_CERT_FILE="$dir/tls.crt" \
    AUTH_PUBLIC_KEY_FILE="$dir/keys/ca.pub" ACCESS_RULES_FILE="$dir/rules.yaml" "$@" "$dir/bin/certgate" serve
}
