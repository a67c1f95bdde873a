#!/usr/bin/env bash
#
# Usage: curl.sh mail.crt https://schedule.example.com/events
#
# The header is the base64 of the certificate's DER, in one line. openssl reads
# only the certificate from the file, so a private key in it is not sent.
set -euo pipefail
certificate=$(openssl x509 -in "$1" -outform DER | openssl base64 -A)

curl --silent --show-error --fail-with-body --write-out '\n%{http_code}\n' "$2" \
  --header "X-SSL-Auth: $certificate" \
  --header 'Content-Type: application/json' \
  --data '{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"Meeting"}}'
