#!/bin/sh
# FOLDER FILE DOMAIN NAME...: a certificate authority of this machine and a certificate for the names,
# in FOLDER, and both parts of the latter in Traefik's FILE.
#
# A certificate is renewed when two thirds of its life are over, so that a machine that was off for
# months still has one that is valid.

umask 077
folder=$1 file=$2 domain=$3; shift 3
days=397  # the most that browsers accept (Apple, support.apple.com/102028)
third=$((days * 86400 / 3))
mark='# by ai-workstation-tls'
names=$(printf 'DNS:%s\n' "$domain" "*.$domain" "$@" | sort -u | paste -sd, -)

authority() { [ -s "$folder/ca.key" ] && openssl x509 -in "$folder/ca.crt" -noout 2>/dev/null; }
reason() {
  certificate=$folder/certificate.pem
  if [ ! -s "$folder/key.pem" ] || [ ! -s "$certificate" ]; then
    echo "there is none"
  elif [ "$(cat "$folder/names" 2>/dev/null)" != "$names" ]; then
    echo "for other names"
  elif ! openssl verify -CAfile "$folder/ca.crt" "$certificate" >/dev/null 2>&1; then
    echo "expired, or of another authority"
  elif ! openssl x509 -in "$certificate" -noout -checkend "$third" >/dev/null; then
    echo "two thirds of its life are over"
  fi
}
written() {
  echo "$mark"
  printf 'tls:\n  options: {default: {minVersion: VersionTLS12}}\n'
  printf '  certificates:\n    - &own\n'
  for part in certFile:certificate.pem keyFile:key.pem; do
    printf '      %s: |\n' "${part%:*}"
    sed 's/^/        /' "$folder/${part#*:}"
  done
  printf '  stores: {default: {defaultCertificate: *own}}\n'
}
placed() { [ -e "$file" ] && written | cmp -s - "$file"; }
