#!/bin/sh
# check|make|renew FOLDER FILE DOMAIN NAME...: a certificate authority of this machine and a
# certificate for the names, in FOLDER, and both parts of the latter in Traefik's FILE.
#
# check tells what is to be made, in words. make does it. renew does it, too, unless FILE is no
# longer ours because the machine has another certificate now. A certificate is renewed when two
# thirds of its life are over, so that a machine that was off for months still has one that is
# valid. The authority can only sign names below DOMAIN, which limits what its key is good for.

set -eu
umask 077
task=$1 folder=$2 file=$3 domain=$4; shift 4
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

if [ "$task" = check ]; then
  authority || echo "authority there is none"
  why=$(reason)
  if [ -n "$why" ]; then echo "certificate $why"; elif ! placed; then echo "file"; fi
  exit
fi
mkdir -p "$folder"
exec 9>"$folder/lock"
flock -w 60 9
if [ "$task" = renew ]; then
  [ "$(head -n 1 "$file" 2>/dev/null)" = "$mark" ] || exit 0
fi
if ! authority; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
    -subj "/CN=ai-workstation of $domain, $(date -u +%F)" \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -addext "nameConstraints=critical,permitted;DNS:$domain" \
    -keyout "$folder/ca.key.new" -out "$folder/ca.crt.new" 2>/dev/null
  mv "$folder/ca.crt.new" "$folder/ca.crt"
  mv "$folder/ca.key.new" "$folder/ca.key"
fi
if [ -n "$(reason)" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$days" \
    -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -subj "/CN=$domain" \
    -addext "subjectAltName=$names" -addext 'basicConstraints=critical,CA:FALSE' \
    -addext 'keyUsage=critical,digitalSignature' -addext 'extendedKeyUsage=serverAuth' \
    -keyout "$folder/key.pem.new" -out "$folder/certificate.pem.new" 2>/dev/null
  rm -f "$folder/names"
  mv "$folder/key.pem.new" "$folder/key.pem"
  mv "$folder/certificate.pem.new" "$folder/certificate.pem"
  echo "$names" >"$folder/names"
fi
if ! placed; then
  written >"$file.new"
  sync "$file.new"
  mv "$file.new" "$file"
fi
sync -f "$folder"
