#!/usr/bin/env bash
#
# Measures certgate: compared with other gateways, for each kind of traffic, during a flood
# of forged credentials, and with increasing numbers of certificates, rules, connections and
# addresses.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/bench.sh [--rounds N] [--seconds N] [--connections N]
                        [--only GATEWAY,…] [--changing] [--rows ROW,…] [--busy]
                        [--profile DIR] [shapes] [calls] [gateways] [flood]
                        [growth]

Measures on this machine and prints each table in Markdown: medians over the
rounds, with minimum and maximum. Without a table's name: gateways and flood.

  shapes    certgate, and nginx, HAProxy, relay and fastpath (see gateways), which check
            nothing, for each kind of traffic: requests a second, CPU per
            request, peak memory, context switches. Each row starts the gateways
            again, and loads one after the other in each round. Ratios are to
            nginx in the same round, so many short rounds give steadier ones than
            few long rounds: --rounds 20 --seconds 0.25. Unless a row
            says something else, the requests are POST /events of 120 bytes at
            full load over 16 connections. Each connection carries the
            certificates of 16 clients in turn. The rows:
              mixed         as described
              one           all connections carry one client
              fixed         each connection carries its own client
              rate          2,000 requests a second
              get-SIZE      GET, responses of 1K 16K 100K 1M 10M
              post-SIZE     POST, bodies of 4K 60K 256K 1M
              chunked-SIZE  bodies in chunks, 4K 256K
              cores         two cores for everything, unpinned
              memory        32 connections
              nethttp       certgate with HTTP_FAST_PATH=false
              https         TLS to the upstream
              assertion     certgate with ASSERTION_KEY_FILE (Ed25519)
              assertion-bound  the same with ASSERTION_BIND=request
  calls     the row mixed, or --rows: system calls per request by strace, and
            instructions and cache misses where perf can count them.
  gateways  POST /events of 120 bytes with an RSA-2048 certificate in the header,
            through each gateway in turn, round by round. Requests per second
            and CPU per 1,000 requests at full load (wrk); latency at 2,000
            requests per second, counted from the scheduled time of each request
            (open loop); peak memory.
              nginx         plain proxy_pass, checks nothing
              nginx-lua     the checks of certgate in Lua, with a cache
              haproxy       checks nothing
              caddy         checks nothing
              reverseproxy  Go's httputil.ReverseProxy, checks nothing
              relay         copies bytes and does not parse HTTP: about the least
                            that a proxy in Go needs
              fastpath      certgate's HTTP server and client with nothing between
                            them: the part of its cost that is not a check
              certgate      all checks, one log line for each request
            Before the measurement each gateway must forward a valid request.
            nginx-lua and certgate must also send the client's name, delete
            forged headers and refuse a forged certificate. The upstream counts
            the requests. Ratios are to the first row in the same round.
  flood     500 valid requests per second from 127.0.0.1 through certgate while 64
            connections from 127.0.0.2 send bad credentials at full load, from
            one source and, by X-Forwarded-For, from 1,000: different forged
            certificates; forged certificates of the most expensive form; forged
            signatures of a P-384 key. Then forged certificates without
            AUTH_FAILURE_RATE. Ratios are to the same gateway without a flood.
  growth    certgate at full load with 1 to 100,000 certificates in turn, with 1
            to 10,000 rules, with 16 to 10,000 connections (all of them in turn,
            then 16 of them busy), and with 1 to 64 addresses of the upstream.

The gateway has core 0; load and upstream share core 1. All traffic stays on the
loopback interface, on free ports. The configurations are in scripts/bench/, the
programs in test/bench/. Figures vary from run to run: compare the ratios of one
run, not the figures of two. Environment variables of certgate are passed on to it, to
compare settings. The defaults take about eight minutes, and shapes with --rounds
20 --seconds 0.25 about twelve.

  --rounds       measurements of each row, in alternation with the other gateways;
                 default 5
  --seconds      of each load in each round, default 3; for shapes and calls also
                 a fraction, such as 0.25
  --connections  kept-alive connections of the load, default 16
  --only         these gateways, separated by commas; default: all installed ones
  --rows         of shapes and calls; default: all of shapes, and mixed of calls
  --busy         shapes while a process on core 1 displaces the content of the
                 machine's caches
  --profile      write CPU profiles of certgate for shapes, DIR/ROW.pprof, for go
                 tool pprof; each round overwrites that of the previous one
  --changing     at full load, each request has a different query and traceparent;
                 otherwise all requests are the same

Needs two cores, Go, nginx, openssl, curl, taskset (util-linux), pgrep (procps),
for gateways wrk, and for calls strace. A gateway that is not installed is left
out. On Debian:

  apt-get install nginx-light wrk openssl curl procps \
    haproxy caddy libnginx-mod-http-lua strace linux-perf

Example:
  scripts/bench.sh --rounds 20 --seconds 0.25 shapes
  scripts/bench.sh --rounds 1 --seconds 20 --rows mixed --profile /tmp/p shapes
  scripts/bench.sh --rounds 1 --seconds 1 --only nginx,certgate gateways

Exit code: 0 success, 1 a failure, 2 wrong usage.
TEXT
}

usage_error() {
  echo "bench.sh: $1; see --help" >&2
  exit 2
}

GATEWAYS=(nginx nginx-lua haproxy caddy reverseproxy relay fastpath certgate)
# shellcheck disable=SC2034 # the parts use them
rounds=5 seconds=3 connections=16 only=("${GATEWAYS[@]}") changing='' tables=() rows=() busy='' profile=''
while (($# > 0)); do
  case "$1" in
    --rounds | --seconds | --connections)
      [[ "${2:-}" =~ ^[1-9][0-9]{0,3}$ || "$1 ${2:-}" =~ ^--seconds\ 0\.[0-9]?[1-9]$ ]] ||
        usage_error "$1: want a number from 1 to 9999"
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    --rows)
      IFS=, read -ra rows <<<"${2:-}"
      ((${#rows[@]} > 0)) || usage_error "--rows: want rows separated by commas"
      shift 2
      ;;
    --profile)
      [[ -n "${2:-}" ]] || usage_error "--profile: want a directory"
      # shellcheck disable=SC2034 # the parts use it
      profile=$(realpath -m "$2")
      shift 2
      ;;
    --busy | --changing) printf -v "${1#--}" yes && shift ;;
    --only)
      IFS=, read -ra only <<<"${2:-}"
      ((${#only[@]} > 0)) || usage_error "--only: want gateways separated by commas"
      for gateway in "${only[@]}"; do
        [[ " ${GATEWAYS[*]} " == *" $gateway "* ]] || usage_error "no gateway $gateway"
      done
      shift 2
      ;;
    --help) usage; exit 0 ;;
    shapes | calls | gateways | flood | growth) tables+=("$1"); shift ;;
    *) usage_error "unknown argument $1" ;;
  esac
done
((${#tables[@]} > 0)) || tables=(gateways flood)
[[ $seconds != 0.* || ! " ${tables[*]} " =~ \ (gateways|flood|growth)\  ]] ||
  usage_error "--seconds: want a whole number for gateways, flood and growth, found $seconds"

export LC_ALL=C
PATH="$PATH:/usr/sbin:/sbin"
unset AUTH_FAILURE_RATE # the table of the flood sets it
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD/scripts/bench
for part in process fixtures shapes calls gateways flood growth; do
  # shellcheck source=/dev/null
  source "$here/$part.sh"
done
for row in "${rows[@]}"; do
  [[ " ${SHAPES[*]} " == *" $row "* ]] || usage_error "no row $row"
done

need nginx nginx-light
need openssl openssl
need curl curl
need taskset util-linux
need pgrep procps
need go golang
(($(nproc) >= 2)) || die "want two cores, one for the gateway alone"

make_fixtures
for table in "${tables[@]}"; do "table_$table"; done
