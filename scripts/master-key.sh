#!/usr/bin/env bash
#
# Makes the master key: the one private key that signs every client
# certificate. After Collective Idea, "Inter-Service Authentication with SSL"
# (2012):
#
#   openssl genrsa -out master.key 1024
#   openssl rsa -in master.key -pubout
#
# with 2048 bits, the shortest RSA key that is considered secure today.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

usage() {
  cat <<'HELP'
Usage: scripts/master-key.sh [--algorithm rsa|p256|ed25519] [--bits N] [--dir DIR]

Makes DIR/master.key, which stays with the operator, and DIR/master.pub,
which the gateway needs. An existing master.key is never overwritten.

  --algorithm  rsa (default), p256 or ed25519
  --bits       of an RSA key: 2048 (default), 3072, 4096; 1024 is the article's
               and needs AUTH_MIN_RSA_BITS=1024 at the gateway
  --dir        default: keys/ of this repository

Example:
  scripts/master-key.sh
  AUTH_PUBLIC_KEY_FILE=keys/master.pub certgate serve

Exit code: 0 success, 1 failure, 2 wrong usage.
HELP
}

algorithm=rsa bits='' dir=$(default_directory)
while (($#)); do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    -h | --help) usage; exit 0 ;;
    --algorithm) need_value "$@" && algorithm=$2 && shift 2 ;;
    --bits) need_value "$@" && bits=$2 && shift 2 ;;
    --dir) need_value "$@" && dir=$2 && shift 2 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
done
check_algorithm "$algorithm" "$bits"

begin "$dir"
new_private_key "$dir/master.key" "$algorithm" "$bits"
public_key "$dir/master.key" "$dir/master.pub"

echo "$dir/master.key  private: signs for every client, never at the gateway"
echo "$dir/master.pub  public: AUTH_PUBLIC_KEY_FILE of the gateway"
