#!/bin/sh
# make|renew FOLDER FILE DOMAIN NAME...: makes what is missing. renew, for the timer, leaves FILE alone
# if it is no longer ours, because the machine has another certificate now.
#
# The authority can only sign names below DOMAIN, which limits what its key is good for.

set -eu
task=$1; shift
. files/tls/internal.sh

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
