#!/usr/bin/env bash
#
# A certificate for a client that owns its key, after the article on SitePoint:
#
#   openssl genrsa -out ca.key
#   openssl req -new -x509 -key ca.key -out ca.crt
#   openssl genrsa -out client.key
#   openssl req -new -key client.key -out client.csr
#   openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -set_serial 01 -out client.crt
#
# It differs from the article in two points: each certificate has its own serial
# number (certificates with the same number can only be revoked together), and
# is restricted to clients (extendedKeyUsage, RFC 5280 section 4.2.1.12). With
# --plain both are as in the article.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"

usage() {
  cat <<'HELP'
Usage: scripts/sitepoint.sh --ou NAME [--days N] [--algorithm rsa|p256|ed25519]
                            [--bits N] [--keep-key] [--plain] [--name FILE]
                            [--ca-days N] [--dir DIR]

Makes a key and a certificate for the client NAME: DIR/FILE.key, DIR/FILE.csr
and DIR/FILE.crt, signed by DIR/ca.key. The first run also makes the CA: ca.key
stays with the operator, the gateway needs ca.crt or ca.pub. An
existing private key is never overwritten.

  --ou         the client's name, the certificate's organizational unit
  --days       of validity, default 90; no longer than the CA's
  --algorithm  of the keys this run makes: rsa (default), p256 or ed25519
  --bits       of RSA keys: 2048 (default), 3072, 4096; 1024 needs
               AUTH_MIN_RSA_BITS=1024 at the gateway
  --keep-key   certify the key that DIR/FILE.key already holds (renewal)
  --plain      the article's literal command: serial 01, no extensions
  --name       of the files, default: the client's name with - for / : and space
  --ca-days    validity of a CA made by this run, default 1825
  --dir        default: keys/ of this repository

Example:
  scripts/sitepoint.sh --ou mail --days 30
  AUTH_PUBLIC_KEY_FILE=keys/ca.pub certgate serve
  curl -H "X-SSL-Auth: $(scripts/header.sh keys/mail.crt)" http://localhost:8080/events

Exit code: 0 success, 1 failure, 2 wrong usage.
HELP
}

# make_authority creates ca.key and ca.crt if they are missing. It refuses a CA
# certificate without its key, because the gateway would not trust a new key.
make_authority() {
  if [[ ! -f $dir/ca.key ]]; then
    [[ ! -e $dir/ca.crt ]] || die "found $dir/ca.crt without $dir/ca.key; restore the key or choose another --dir"
    new_private_key "$dir/ca.key" "$algorithm" "$bits"
  fi
  public_key "$dir/ca.key" "$dir/ca.pub"
  [[ -f $dir/ca.crt ]] && return
  cat >"$work/ca.cnf" <<'CONFIG'
[req]
distinguished_name = dn
x509_extensions = ca
string_mask = utf8only
[dn]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIG
  quietly openssl req -new -x509 -config "$work/ca.cnf" -key "$dir/ca.key" \
    -subj "/CN=certgate CA" -days "$ca_days" -out "$work/ca.crt"
  publish "$work/ca.crt" "$dir/ca.crt"
}

# make_key creates the client's key. With --keep-key it checks that there is one.
make_key() {
  if $keep_key; then
    [[ -f $dir/$name.key ]] || die "no $dir/$name.key to keep; leave out --keep-key"
  else
    new_private_key "$dir/$name.key" "$algorithm" "$bits"
  fi
}

# check_end refuses a certificate that is valid longer than its CA certificate,
# which openssl does not check.
check_end() {
  openssl x509 -in "$dir/ca.crt" -noout -checkend $((days * 86400)) >/dev/null ||
    die "$dir/ca.crt ends within $days days; want fewer --days or a new CA"
}

sign_plain() {
  quietly openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" \
    -set_serial 01 -days "$days" -out "$work/crt"
}

sign_client() {
  cat >"$work/client.cnf" <<'CONFIG'
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONFIG
  # The byte 01 before the 15 random bytes makes the number positive and avoids
  # leading zeros.
  quietly openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" \
    -set_serial "0x01$(openssl rand -hex 15)" -days "$days" -extfile "$work/client.cnf" -out "$work/crt"
}

ou='' days=90 ca_days=1825 algorithm=rsa bits='' keep_key=false sign=sign_client
name='' dir=$(default_directory) work=''
while (($#)); do
  case $1 in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    -h | --help) usage; exit 0 ;;
    --ou) need_value "$@" && ou=$2 && shift 2 ;;
    --days) need_value "$@" && days=$2 && shift 2 ;;
    --ca-days) need_value "$@" && ca_days=$2 && shift 2 ;;
    --algorithm) need_value "$@" && algorithm=$2 && shift 2 ;;
    --bits) need_value "$@" && bits=$2 && shift 2 ;;
    --name) need_value "$@" && name=$2 && shift 2 ;;
    --dir) need_value "$@" && dir=$2 && shift 2 ;;
    --keep-key) keep_key=true && shift ;;
    --plain) sign=sign_plain && shift ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
done
[[ -n $ou ]] || usage_error "--ou is missing"
check_ou "$ou"
check_days --days "$days"
check_days --ca-days "$ca_days"
check_algorithm "$algorithm" "$bits"
name=${name:-$(file_name "$ou")}
check_name "$name"

begin "$dir"
$keep_key || refuse_existing "$dir/$name.key"
make_authority
check_end
make_key
request "$dir/$name.key" "$ou" "$dir/$name.csr"
"$sign"
publish "$work/crt" "$dir/$name.crt"

echo "$dir/ca.key  private: signs for every client, never at the gateway"
echo "$dir/ca.crt  public: AUTH_PUBLIC_KEY_FILE of the gateway"
echo "$dir/ca.pub  public: the same as a bare key"
echo "$dir/$name.key  private: only for $ou"
echo "$dir/$name.csr  the request, of no further use"
echo "$dir/$name.crt  the certificate of $ou, for $days days"
