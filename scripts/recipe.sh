#!/usr/bin/env bash
#
# Functions of the openssl recipes: parse flags, report errors, protect private
# keys. The recipes source this file and contain the openssl commands themselves.
#
# OpenSSL 1.1.1 and later, or LibreSSL 3.7 and later (for Ed25519).

# Names are compared byte for byte, so patterns must be, too. Only the owner can
# read the files, until publish makes a copy that every user can read.
export LC_ALL=C
umask 077

program=${0##*/}

# die MESSAGE exits with 1: the command failed.
die() {
  echo "$program: $1" >&2
  exit 1
}

# usage_error MESSAGE exits with 2: the command line is wrong.
usage_error() {
  echo "$program: $1 (--help shows an example)" >&2
  exit 2
}

# need_value FLAG [VALUE …] requires a value after the flag.
need_value() {
  if (($# < 2)) || [[ -z $2 ]]; then usage_error "$1: want a value, found none"; fi
}

# default_directory prints the path of keys/ in this repository, relative if
# that is the working directory.
default_directory() {
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  if [[ $PWD -ef $root ]]; then echo keys; else echo "$root/keys"; fi
}

# check_ou NAME refuses names that certgate would refuse as identity_invalid.
check_ou() {
  local pattern='^[A-Za-z0-9]([A-Za-z0-9._:@/+ -]*[A-Za-z0-9])?$'
  [[ ${#1} -le 64 && $1 =~ $pattern && $1 != *'  '* ]] ||
    usage_error "--ou: want 1 to 64 letters and digits with inner . _ - : @ / + or single spaces, found '$1'"
}

# subject OU prints the name for openssl's -subj, in which / and + have a
# meaning and are escaped.
subject() {
  local ou=$1
  ou=${ou//\//\\/}
  ou=${ou//+/\\+}
  echo "/OU=$ou"
}

# file_name OU prints a file name for it, without directories and spaces.
file_name() { echo "${1//[\/: ]/-}"; }

# check_name FILE refuses the names of the master keys.
check_name() {
  case $1 in
    ca | master) usage_error "the files of '$1' would be those of a master key; want another --name" ;;
    */* | -* | .*) usage_error "--name: want a file name without a directory, found '$1'" ;;
  esac
}

check_days() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "$1: want 1 to 99999 days, found '$2'"
}

# check_algorithm ALGORITHM BITS validates both. BITS may be empty.
check_algorithm() {
  case $1 in
    rsa) ;;
    p256 | ed25519)
      [[ -z $2 ]] || usage_error "--bits is for rsa, found it with $1"
      return
      ;;
    *) usage_error "--algorithm: want rsa, p256 or ed25519, found '$1'" ;;
  esac
  case $2 in
    '' | 2048 | 3072 | 4096) ;;
    1024) warn_weak ;;
    *) usage_error "--bits: want 1024, 2048, 3072 or 4096, found '$2'" ;;
  esac
}

warn_weak() {
  cat >&2 <<'WARNING'
**********************************************************************
*  WARNING: a 1024-bit RSA key can be broken. Use it only to repeat   *
*  the commands of the article of 2012. certgate refuses it, unless   *
*  the gateway is started with AUTH_MIN_RSA_BITS=1024.                *
**********************************************************************
WARNING
}

# quietly COMMAND … prints the command's output only if it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || die "$1 $2: $output"
}

# generate_key ALGORITHM BITS prints a new private key.
generate_key() {
  case $1 in
    rsa) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${2:-2048}" ;;
    p256) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -pkeyopt ec_param_enc:named_curve ;;
    ed25519) openssl genpkey -algorithm ED25519 ;;
  esac
}

# refuse_existing FILE stops if the file exists: a private key that is
# overwritten is lost.
refuse_existing() {
  [[ ! -e $1 && ! -L $1 ]] || die "$1 exists; a private key is never overwritten (move it away first)"
}

# new_private_key FILE ALGORITHM BITS writes a private key that only the owner
# can read. It uses no temporary file. noclobber prevents it from replacing a
# file that another run has written in the meantime.
new_private_key() {
  local key progress=$work/progress
  refuse_existing "$1"
  key=$(generate_key "$2" "$3" 2>"$progress") || die "openssl genpkey: $(cat "$progress")"
  (set -o noclobber && printf '%s\n' "$key" >"$1") || die "$1 was not written"
}

# publish FROM TO makes a copy that every user can read.
publish() { install -m 0644 "$1" "$2"; }

# public_key PRIVATE PUBLIC writes the public half for AUTH_PUBLIC_KEY_FILE.
public_key() {
  quietly openssl pkey -in "$1" -pubout -out "$work/public"
  publish "$work/public" "$2"
}

# request KEY OU CSR writes a certificate request. It does not use the machine's
# openssl.cnf, which could add fields to the request.
request() {
  printf '%s\n' '[req]' 'distinguished_name = dn' 'string_mask = utf8only' '[dn]' >"$work/request.cnf"
  quietly openssl req -new -config "$work/request.cnf" -key "$1" -subj "$(subject "$2")" -out "$work/csr"
  publish "$work/csr" "$3"
}

# begin DIRECTORY creates the directory, and sets work to a temporary directory
# for files without secrets.
begin() {
  command -v openssl >/dev/null || die "openssl is not installed"
  mkdir -p -- "$1" || die "no directory $1"
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
}
