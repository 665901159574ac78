#!/bin/sh
# BUNDLE: has the host trust certificates that lie among its own.
#
# Rebuilding the store takes long, and many networks' certificates are in their images already.

store=/etc/ssl/certs/ca-certificates.crt
if awk '/BEGIN/ {body = ""} {body = body $0}
    /END/ && NR == FNR {known[body] = 1}
    /END/ && NR != FNR && !(body in known) {lacking = 1}
    END {exit lacking}' "$store" "$1"; then
  touch "$store"
else
  update-ca-certificates >/dev/null && sync -f "$store"
fi
