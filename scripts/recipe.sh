#!/usr/bin/env bash
#
# What the openssl recipes share: reading flags, refusing, keeping private keys
# private. It is sourced, never run; each recipe shows its own openssl commands.
#
# OpenSSL 1.1.1 and later, or LibreSSL 3.7 and later (for Ed25519).

# Names are compared byte for byte, so patterns are, too. Everything written is
# the owner's alone until publish says otherwise.
export LC_ALL=C
umask 077

program=${0##*/}

# die MESSAGE: this run cannot be done.
die() {
  echo "$program: $1" >&2
  exit 1
}

# usage_error MESSAGE: this command line means nothing.
usage_error() {
  echo "$program: $1 (--help shows an example)" >&2
  exit 2
}

# need_value FLAG [VALUE …]: "$@" begins with a flag that takes a value.
need_value() {
  if (($# < 2)) || [[ -z $2 ]]; then usage_error "$1 wants a value, found none"; fi
}

# default_directory prints keys/ of this repository, short where it can be.
default_directory() {
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  if [[ $PWD -ef $root ]]; then echo keys; else echo "$root/keys"; fi
}

# check_ou NAME refuses what certgate would refuse as identity_invalid.
check_ou() {
  local pattern='^[A-Za-z0-9]([A-Za-z0-9._:@/+ -]*[A-Za-z0-9])?$'
  [[ ${#1} -le 64 && $1 =~ $pattern && $1 != *'  '* ]] ||
    usage_error "--ou wants 1 to 64 letters and digits with inner . _ - : @ / + or single spaces, found '$1'"
}

# subject OU prints the name as openssl's -subj reads it: / and + mean
# something there.
subject() {
  local ou=$1
  ou=${ou//\//\\/}
  ou=${ou//+/\\+}
  echo "/OU=$ou"
}

# file_name OU prints a file name for it, without directories and spaces.
file_name() { echo "${1//[\/: ]/-}"; }

# check_name FILE: the names of the master keys are taken.
check_name() {
  case $1 in
    ca | master) usage_error "the files of '$1' would be those of a master key; want another --name" ;;
    */* | -* | .*) usage_error "--name wants a file name without a directory, found '$1'" ;;
  esac
}

check_days() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "$1 wants 1 to 99999 days, found '$2'"
}

# check_algorithm ALGORITHM BITS: BITS is empty when it was not given.
check_algorithm() {
  case $1 in
    rsa) ;;
    p256 | ed25519)
      [[ -z $2 ]] || usage_error "--bits is for rsa, found it with $1"
      return
      ;;
    *) usage_error "--algorithm wants rsa, p256 or ed25519, found '$1'" ;;
  esac
  case $2 in
    '' | 2048 | 3072 | 4096) ;;
    1024) warn_weak ;;
    *) usage_error "--bits wants 1024, 2048, 3072 or 4096, found '$2'" ;;
  esac
}

warn_weak() {
  cat >&2 <<'WARNING'
**********************************************************************
*  WARNING: a 1024-bit RSA key can be broken. It is the article's of  *
*  2012 and good for nothing but showing it. certgate refuses it,     *
*  unless the gateway is started with AUTH_MIN_RSA_BITS=1024.         *
**********************************************************************
WARNING
}

# quietly COMMAND … shows what the command says only if it fails.
quietly() {
  local said
  said=$("$@" 2>&1) || die "$1 $2: $said"
}

# generate_key ALGORITHM BITS prints a new private key.
generate_key() {
  case $1 in
    rsa) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${2:-2048}" ;;
    p256) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -pkeyopt ec_param_enc:named_curve ;;
    ed25519) openssl genpkey -algorithm ED25519 ;;
  esac
}

# refuse_existing FILE: a private key that is gone cannot be made again.
refuse_existing() {
  [[ ! -e $1 && ! -L $1 ]] || die "$1 exists; a private key is never overwritten (move it away first)"
}

# new_private_key FILE ALGORITHM BITS writes a key only its owner can read. It
# is never in a temporary file, and noclobber keeps it from replacing a file
# that another run has made since.
new_private_key() {
  local key progress=$work/progress
  refuse_existing "$1"
  key=$(generate_key "$2" "$3" 2>"$progress") || die "openssl genpkey: $(cat "$progress")"
  (set -o noclobber && printf '%s\n' "$key" >"$1") || die "$1 was not written"
}

# publish FROM TO copies a file that everybody may read.
publish() { install -m 0644 "$1" "$2"; }

# public_key PRIVATE PUBLIC writes the public half for AUTH_PUBLIC_KEY_FILE.
public_key() {
  quietly openssl pkey -in "$1" -pubout -out "$work/public"
  publish "$work/public" "$2"
}

# request KEY OU CSR asks for a certificate. The configuration is written here,
# because what the machine's openssl.cnf adds to a request is anybody's guess.
request() {
  printf '%s\n' '[req]' 'distinguished_name = dn' 'string_mask = utf8only' '[dn]' >"$work/request.cnf"
  quietly openssl req -new -config "$work/request.cnf" -key "$1" -subj "$(subject "$2")" -out "$work/csr"
  publish "$work/csr" "$3"
}

# begin DIRECTORY makes it, and sets work to a place for what is no secret.
begin() {
  command -v openssl >/dev/null || die "openssl is not installed"
  mkdir -p -- "$1" || die "no directory $1"
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
}
