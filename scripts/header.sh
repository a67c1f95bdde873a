#!/usr/bin/env bash
#
# Prints a certificate as a header value. A header cannot hold the line breaks
# of PEM, so clients and proxies encode it; this script knows three encodings.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

usage() {
  cat <<'HELP'
Usage: scripts/header.sh FILE [--form base64|percent|der]

Prints the certificate in FILE (PEM; - is standard input) as the value of the
X-SSL-Auth header, on one line. A file with a private key in it is refused.

  --form  base64   base64 of the whole PEM text (default)
          percent  percent-encoded PEM, as nginx's $ssl_client_escaped_cert
          der      base64 of the DER: the shortest

Example:
  curl -H "X-SSL-Auth: $(scripts/header.sh keys/mail.crt)" http://localhost:8080/events

Exit code: 0 success, 1 no such certificate, 2 wrong usage.
HELP
}

# percent encodes the characters of PEM that RFC 3986 does not call unreserved.
percent() {
  sed -e 's/ /%20/g' -e 's/+/%2B/g' -e 's,/,%2F,g' -e 's/=/%3D/g' -e 's/$/%0A/' | tr -d '\n'
}

# normal prints the PEM of the certificate without any text around it.
normal() { openssl x509 <<<"$text" 2>/dev/null; }

# read_certificate sets text. It refuses private keys before anything else,
# because proxies may log the header.
read_certificate() {
  local count
  if [[ $1 == - ]]; then
    text=$(tr -d '\0')
  else
    [[ -f $1 && -r $1 ]] || die "no readable file $1"
    text=$(tr -d '\0' <"$1")
  fi
  [[ $text != *'PRIVATE KEY-----'* ]] || die "$1 holds a private key, which never goes into a header"
  count=$(grep -c -e '^-----BEGIN CERTIFICATE-----' <<<"$text" || true)
  ((count == 1)) || die "want one PEM certificate in $1, found $count"
  normal >/dev/null || die "the certificate in $1 is damaged"
}

file='' form=base64
while (($#)); do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    -h | --help) usage; exit 0 ;;
    --form) need_value "$@" && form=$2 && shift 2 ;;
    -?*) usage_error "unknown argument '$1'" ;;
    *)
      [[ -z $file && -n $1 ]] || usage_error "want one FILE, found '$1' as well"
      file=$1 && shift
      ;;
  esac
done
[[ -n $file ]] || usage_error "want a FILE, found none"
case $form in
  base64 | percent | der) ;;
  *) usage_error "--form: want base64, percent or der, found '$form'" ;;
esac
command -v openssl >/dev/null || die "openssl is not installed"

read_certificate "$file"
case $form in
  base64) normal | openssl base64 -A ;;
  percent) normal | percent ;;
  der) openssl x509 -outform DER <<<"$text" | openssl base64 -A ;;
esac
echo
