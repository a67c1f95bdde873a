#!/usr/bin/env bash
#
# All of CI in one command.
#
#   scripts/check.sh                every step
#   scripts/check.sh lint test      only these
#   FUZZTIME=2m scripts/check.sh fuzz
#
# Steps, in order: tools test format shell modules vet lint race nethttp fuzz deploy leaks
# cross binaries. The first step that fails ends the run. The output of every step is kept
# in .check/. With CI=true a missing tool is a failure, otherwise a warning. The last line
# counts the tests of the test step.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

FUZZTIME=${FUZZTIME:-4s}
GOLANGCI_VERSION=v2.15.0
OUT=$PWD/.check
STEPS=(tools test format shell modules vet lint race nethttp fuzz deploy leaks cross binaries)

if ! command -v go >/dev/null; then
  echo "go is not installed: want the version in go.mod or a later one" >&2
  exit 1
fi
# Every go command of the checks, and every one that a test starts, builds the same
# program: Gin without its MessagePack codec, which is 6 MB. The other two settings are
# those of the shipped binaries, so that tests, vet, lint, cross and binaries compile each
# package once; only the race detector needs cgo.
GOFLAGS="${GOFLAGS:-} -tags=nomsgpack -trimpath"
CGO_ENABLED=0
# End-to-end tests in which many requests, reloads or shutdowns happen at once.
LOAD_TESTS='Load|Flood|Idle|Drain|Replicas|InFlight|Renewed|LogReader|RateLimit|DenyApplies|Replays'
# End-to-end tests that send no request, or none that depends on the HTTP implementation.
NO_HTTP_TESTS='Architecture|Documented|DocumentLinks|Readme|Script|Recipe|Systemd|Deployed|Demo|Explain|Agent|Flood|Redis|Replicas|Schedule|CommandLine|CheckCommand|Configuration|KeyForms|Rotation|Revocation|Algorithms|Encodings|Tool|Kubernetes|ManyIdle|FullInventory|Dockerfile'
GOBIN=$(go env GOBIN)
GOBIN=${GOBIN:-$(go env GOPATH)/bin}
# The first folder is where .ci/run installs step and cfssl, the last one where it installs
# Envoy and Traefik.
INSTALLED=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/certgate-ci
PATH="$INSTALLED-issuers:$PATH:$GOBIN:/usr/sbin:/sbin:$INSTALLED/bin"
export GOFLAGS CGO_ENABLED PATH

in_ci() { [[ "${CI:-}" == true ]]; }

has() { command -v "$1" >/dev/null; }

# skip WHAT prints a line that cannot be overlooked; in CI nothing is skipped.
skip() {
  if in_ci; then
    echo "missing: $1"
    return 1
  fi
  echo "!!! SKIPPED: $1"
}

# ---- steps ------------------------------------------------------------------

step_tools() {
  local bad=0
  need() {
    has "$1" || skip "$1 ($2): apt-get install $3" || bad=1
  }
  need gcc "the race detector" "gcc libc6-dev"
  need shellcheck "the shell step" shellcheck
  need openssl "tests of the openssl recipes" openssl
  need curl "tests of the documented requests" curl
  need jq "tests of the scripts" jq
  need nginx "tests behind real proxies" nginx-light
  need haproxy "tests behind real proxies" haproxy
  need caddy "tests behind real proxies" caddy
  need apache2 "tests behind real proxies" apache2-bin
  local wheels="pip install --require-hashes -r .ci/requirements.txt"
  has envoy || skip "envoy (tests behind real proxies): $wheels" || bad=1
  has traefik || skip "traefik (tests behind real proxies): $wheels" || bad=1
  need redis-server "tests of replicas that share a memory" redis-server
  need chromium "tests of the schedule's page" chromium
  need node "test of the Node client" nodejs
  need java "test of the Java client" default-jre-headless
  need php "test of the PHP client" php-cli
  need certtool "test of GnuTLS as issuer" gnutls-bin
  local program
  for program in step cfssl; do
    has "$program" || skip "$program (test of $program as issuer): see ISSUER_PACKAGES in .ci/run" || bad=1
  done
  ruby -rfaraday -e 0 2>/dev/null ||
    skip "faraday (test of the Ruby client): apt-get install ruby-faraday" || bad=1
  /usr/bin/python3 -c 'import requests' 2>/dev/null ||
    skip "requests (test of the Python clients): apt-get install python3-requests" || bad=1
  /usr/bin/python3 -c 'import cryptography' 2>/dev/null ||
    skip "cryptography (test of the Python client that signs): apt-get install python3-cryptography" || bad=1
  /usr/bin/python3 -c 'import jwt' 2>/dev/null ||
    skip "PyJWT (test of the Python service): apt-get install python3-jwt" || bad=1
  ruby -rjwt -e 0 2>/dev/null ||
    skip "jwt (test of the Ruby service): apt-get install ruby-jwt" || bad=1
  [[ -e /usr/share/nodejs/jose ]] ||
    skip "jose (test of the Node service): apt-get install node-jose" || bad=1
  [[ -e ${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/certgate-ci-jars/nimbus-jose-jwt.jar ]] ||
    skip "nimbus-jose-jwt (test of the Java service): see install_jars in .ci/run" || bad=1
  need systemd-analyze "tests of the systemd units" systemd
  need strace "the test of the units' sandbox" strace
  has golangci-lint ||
    echo "golangci-lint is not installed: the lint step installs it into $GOBIN"
  go version
  return "$bad"
}

step_format() {
  local files
  files=$(gofmt -l .)
  [[ -z "$files" ]] && return
  echo "not formatted (gofmt -w repairs it):"
  echo "$files"
  return 1
}

# shell_scripts prints every file outside dot directories that a shell runs.
shell_scripts() {
  local file line
  while IFS= read -r file; do
    line=
    IFS= read -r line <"$file" || true
    [[ "$line" =~ ^'#!'.*[/\ ](ba|da)?sh($|\ ) ]] && echo "$file"
  done < <(find . \( -path ./.git -o -path ./.check \) -prune -o \
    -type f -not -name '*.go' -size -256k -print)
  return 0
}

step_shell() {
  if ! has shellcheck; then
    skip "the scripts are not checked without shellcheck"
    return
  fi
  # SC2015: "test && test || refuse" is meant as it reads.
  shell_scripts | tr '\n' '\0' |
    xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR --exclude=SC2015
}

step_modules() {
  go mod verify
  go -C test/deploy mod verify
  if ! go mod tidy -diff; then
    echo "go.mod or go.sum is not tidy (go mod tidy repairs it)"
    return 1
  fi
  # test/deploy uses the harness, so its go.mod needs at least the versions in go.mod. To
  # compare with go mod tidy would download 600 MB that are not used.
  if ! go -C test/deploy list -deps -test ./... >/dev/null; then
    echo "test/deploy/go.mod or go.sum lacks something (go -C test/deploy mod tidy repairs it)"
    return 1
  fi
}

step_vet() { go vet ./...; }

golangci_is_pinned() {
  has golangci-lint &&
    [[ "$(golangci-lint version --short 2>/dev/null)" == "${GOLANGCI_VERSION#v}" ]]
}

step_lint() {
  if ! golangci_is_pinned; then
    echo "installing golangci-lint $GOLANGCI_VERSION into $GOBIN"
    GOFLAGS='' CGO_ENABLED=0 go install \
      "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$GOLANGCI_VERSION"
    PATH="$GOBIN:$PATH"
  fi
  golangci-lint run --allow-serial-runners ./...
  cd test/deploy
  golangci-lint run --allow-serial-runners ./...
}

# race prints the flag for the race detector, which needs cgo and so gcc.
race() {
  if has "$(go env CC)" && [[ "$(CGO_ENABLED='' go env CGO_ENABLED)" == 1 ]]; then
    echo -race
  fi
}

# The command of README.md, with the events of the tests as JSON for report.
step_test() {
  local code=0
  rm -f "$OUT"/test.json "$OUT"/test.txt "$OUT"/test.stderr
  go test -shuffle=on -timeout=15m -json ./... >"$OUT/test.json" 2>"$OUT/test.stderr" || code=$?
  cat "$OUT/test.stderr"
  report text >"$OUT/test.txt"
  report summary
  if ((code != 0)); then
    report failures
    return "$code"
  fi
  if [[ "$(report count)" == "0 passed"* ]]; then
    echo "no test ran"
    return 1
  fi
}

# The packages in which goroutines share state, and the end-to-end tests that put the
# gateway under load, with the race detector in the tests and in the gateway.
step_race() {
  local flag
  flag=$(race)
  [[ -n "$flag" ]] || { skip "the race detector: it needs gcc" && return; }
  CGO_ENABLED=1 go test -race -shuffle=on -timeout=15m ./internal/http1/... ./internal/guard/... \
    ./internal/proxy/... ./internal/surface/... ./internal/audit ./internal/filewatch \
    ./internal/gateway ./internal/tool/agent ./cmd/certgate/service
  TEST_RACE=true go test -shuffle=on -timeout=15m -run "$LOAD_TESTS" ./test/e2e
}

# report MODE reads the events of go test -json: text prints all output, summary
# a line for each package, failures the output of whatever failed, count the
# closing line. A package that failed without a failed test counts as one, and so does the
# step that is the second argument, unless it is the test step.
report() {
  local other=0
  [[ "${2:-test}" == test ]] || other=1
  LC_ALL=C awk -v mode="$1" -v other="$other" '
    function field(name,  s) {
      if (!match(head, "\"" name "\":\"[^\"]*\"")) return ""
      s = substr(head, RSTART, RLENGTH)
      sub("^\"" name "\":\"", "", s)
      return substr(s, 1, length(s) - 1)
    }
    function plain(s) {
      gsub(/\\\\/, "\001", s)
      gsub(/\\n/, "\n", s); gsub(/\\t/, "\t", s); gsub(/\\r/, "", s)
      gsub(/\\"/, "\"", s)
      gsub(/\\u003c/, "<", s); gsub(/\\u003e/, ">", s); gsub(/\\u0026/, "\\&", s)
      gsub(/\001/, "\\\\", s)
      return s
    }
    {
      at = index($0, "\"Output\":\"")
      head = at ? substr($0, 1, at - 1) : $0
      text = at ? plain(substr($0, at + 10, length($0) - at - 11)) : ""
      action = field("Action"); package = field("Package")
      key = head
      sub(/^.*"Package":/, "", key); sub(/,"Elapsed":.*$/, "", key); sub(/[,}]*$/, "", key)
      one = index(head, "\"Test\":\"") > 0
    }
    action == "build-output" { broken = broken text }
    at && mode == "text" { printf "%s", text }
    at && !one && mode == "summary" && text ~ /^(ok|FAIL|---|\?)[ \t]/ { printf "%s", text }
    at && mode == "failures" { n++; line[n] = text; of[n] = key; from[n] = package }
    action ~ /^(pass|fail|skip)$/ {
      result[key] = action
      if (one) count[action]++
      if (one && action == "fail") blamed[package] = 1
      if (!one && action == "fail") failed[package] = 1
    }
    END {
      for (p in failed) if (!(p in blamed)) count["fail"]++
      count["fail"] += other
      if (mode == "count") 
        printf "%d passed, %d failed, %d skipped\n", count["pass"], count["fail"], count["skip"]
      if (mode != "failures") exit
      printf "%s", broken
      for (p in failed)
        for (i = 1; i <= n; i++)
          if (from[i] == p && result[of[i]] != "pass" && result[of[i]] != "skip") printf "%s", line[i]
    }' "$OUT/test.json"
}

# What is deployed, read by the tools that read it. A module of its own keeps Prometheus,
# Kubernetes, Compose and BuildKit out of go.mod: about a minute of compiling the
# first time, ten seconds from then on, most of them for the alerts.
step_deploy() {
  go -C test/deploy vet ./...
  # What is outside of a module does not make go test run again: -count does.
  go -C test/deploy test -count=1 ./...
}

# The tests of HTTP itself once more, with net/http's server and transport only.
step_nethttp() {
  TEST_HTTP_FAST_PATH=false go test -shuffle=on -timeout=15m \
    ./internal/surface/public ./internal/gateway
  TEST_HTTP_FAST_PATH=false go test -shuffle=on -timeout=15m -skip "$NO_HTTP_TESTS" ./test/e2e
}

# fuzz_targets prints "PACKAGE TARGET" lines. It reads the sources, because go test -list
# links every test first.
fuzz_targets() {
  grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd internal |
    sed -E 's|^(.*)/[^/]*:func (.*)|./\1 \2|' | sort
}

# deadline_only reports whether a fuzz run failed only because its time ended, which Go
# before 1.27 sometimes calls a failure (go.dev/issue/75804).
deadline_only() {
  grep -qx '    context deadline exceeded' "$1" &&
    ! grep -qE 'Failing input|panic|_test\.go:|fuzzing process' "$1"
}

# fuzz_one PACKAGE TARGET runs one target in one process.
fuzz_one() {
  local log=$OUT/fuzz-${1##*/}-$2.txt
  if go test -vet=off -parallel=1 -run='^$' -fuzz="^$2\$" -fuzztime="$FUZZTIME" \
    "$1" >"$log" 2>&1 </dev/null; then
    echo "$1 $2"
  elif deadline_only "$log"; then
    echo "$1 $2 (the deadline came in the middle of an input; nothing was found)"
  else
    cat "$log"
    return 1
  fi
}

# Every target for a short time, as many at once as there are cores. What a longer run has
# found is in the testdata folders, and every test run tries it.
step_fuzz() {
  local targets
  rm -f "$OUT"/fuzz-*.txt
  targets=$(fuzz_targets)
  if [[ -z "$targets" ]]; then
    echo "no fuzz targets"
    return
  fi
  export OUT FUZZTIME
  export -f fuzz_one deadline_only
  # shellcheck disable=SC2016 # the inner shell expands the arguments
  xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 bash -c 'fuzz_one "$1" "$2"' fuzz <<<"$targets"
}

# Nothing may print a credential: not a test, and so not the code under test.
step_leaks() {
  # DER in base64, PEM, and PEM in base64. The name of a test is not output.
  local pattern='MII[BCD][A-Za-z0-9+/%_-]{8}|-----BEGIN|LS0tLS1CRUdJTi' found
  if [[ ! -s "$OUT/test.txt" ]]; then
    echo "no test output to search: the test step comes first"
    return 1
  fi
  found=$(grep -nE "$pattern" "$OUT"/test.txt "$OUT"/test.stderr "$OUT"/{race,nethttp}.log "$OUT"/fuzz-*.txt 2>/dev/null |
    grep -vE ':[0-9]+: *(=== (RUN|PAUSE|CONT|NAME) |--- (PASS|SKIP): )') || true
  [[ -z "$found" ]] && return
  echo "the output of the tests holds pieces of a certificate or key (cut here):"
  sed -E "s/($pattern).*/\1…/" <<<"$found"
  return 1
}

# The commands build on every system that developers and operators use. Without
# optimization that takes two thirds of the time. The binaries step builds the optimized
# programs for this machine.
step_cross() {
  local os arch host
  host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
  for os in linux darwin windows; do
    for arch in amd64 arm64; do
      [[ "$os/$arch" == "$host" ]] && continue
      echo "$os/$arch"
      GOOS=$os GOARCH=$arch go build -gcflags='all=-N -l' -ldflags='-s -w' ./cmd/...
    done
  done
}

step_binaries() {
  rm -rf "${OUT:?}/bin"
  mkdir -p "$OUT/bin"
  go build -ldflags='-s -w' -o "$OUT/bin/" ./cmd/...
  local binary
  for binary in certgate schedule demo; do
    [[ -x "$OUT/bin/$binary" ]] || { echo "want cmd/$binary, found no such program" && return 1; }
    if has readelf && readelf --program-headers "$OUT/bin/$binary" | grep -q INTERP; then
      echo "want $binary static, found a dynamic loader in it"
      return 1
    fi
    du -h "$OUT/bin/$binary"
  done
}

# ---- running them -----------------------------------------------------------

known() {
  local name
  for name in "${STEPS[@]}"; do [[ "$name" == "$1" ]] && return; done
  return 1
}

# run NAME runs one step with its output in a file, and shows the output.
run() {
  local name=$1 code=0 start=$SECONDS
  echo "== $name"
  set +e
  # Not in a condition: there bash would ignore -e inside the step.
  (
    set -e
    "step_$name"
  ) >"$OUT/$name.log" 2>&1
  code=$?
  set -e
  sed 's/^/   /' "$OUT/$name.log"
  if ((code != 0)); then
    echo "== $name FAILED after $((SECONDS - start)) s"
    [[ "$tested" == false && "$name" != test || ! -s "$OUT/test.json" ]] || report count "$name"
    exit 1
  fi
  echo "   ok, $((SECONDS - start)) s"
}

main() {
  local name tested=false
  local -a chosen=("$@")
  (($# > 0)) || chosen=("${STEPS[@]}")
  for name in "${chosen[@]}"; do
    known "$name" || { echo "no step $name; the steps are: ${STEPS[*]}" >&2 && exit 2; }
  done
  mkdir -p "$OUT"
  for name in "${chosen[@]}"; do
    run "$name"
    [[ "$name" == test ]] && tested=true
  done
  echo "== all good in $SECONDS s"
  [[ "$tested" == false ]] || report count
}

main "$@"
