#!/usr/bin/env bash
#
# The recipe of 2012: Collective Idea, "Inter-Service Authentication with SSL".
#
#   openssl genrsa -out master.key 1024               # scripts/master-key.sh
#   openssl req -new -key master.key -out mail.csr    # OU=mail
#   openssl x509 -req -in mail.csr -signkey master.key -out mail.crt
#   openssl rsa -in master.key -pubout                # scripts/master-key.sh
#
# Its weakness: the certificates contain the master key's own public key, so a
# client has no private key. The certificate works like a password: an attacker
# who sees the header once can send it again, and the client cannot prove its
# identity in another way. All certificates share one public key, so none can be
# revoked by key. Use scripts/sitepoint.sh, where each client has its own key.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

usage() {
  cat <<'HELP'
Usage: scripts/collective-idea.sh --ou NAME [--days N] [--name FILE] [--dir DIR]

The recipe of 2012: signs a certificate for the client NAME with DIR/master.key,
over the master key itself. Writes DIR/FILE.csr and DIR/FILE.crt. The client
has no key of its own: for new clients use scripts/sitepoint.sh.

  --ou    the client's name, the certificate's organizational unit
  --days  of validity, default 365
  --name  of the files, default: the client's name with - for / : and space
  --dir   default: keys/ of this repository

Example:
  scripts/master-key.sh
  scripts/collective-idea.sh --ou mail
  curl -H "X-SSL-Auth: $(scripts/header.sh keys/mail.crt)" http://localhost:8080/events

Exit code: 0 success, 1 failure, 2 wrong usage.
HELP
}

ou='' days=365 name='' dir=$(default_directory) work=''
while (($#)); do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    -h | --help) usage; exit 0 ;;
    --ou) need_value "$@" && ou=$2 && shift 2 ;;
    --days) need_value "$@" && days=$2 && shift 2 ;;
    --name) need_value "$@" && name=$2 && shift 2 ;;
    --dir) need_value "$@" && dir=$2 && shift 2 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
done
[[ -n $ou ]] || usage_error "--ou is missing"
check_ou "$ou"
check_days --days "$days"
name=${name:-$(file_name "$ou")}
check_name "$name"

master=$dir/master.key
[[ -f $master ]] || die "no $master; scripts/master-key.sh makes it"

begin "$dir"
request "$master" "$ou" "$dir/$name.csr"
quietly openssl x509 -req -in "$dir/$name.csr" -signkey "$master" -days "$days" -out "$work/crt"
publish "$work/crt" "$dir/$name.crt"

echo "$dir/$name.csr  the request, of no further use"
echo "$dir/$name.crt  the certificate of $ou, for $days days: keep it secret like a password"
