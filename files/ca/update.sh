#!/bin/sh
# BUNDLE: makes the host trust certificates that are among its own.
#
# Rebuilding the store takes long, and many networks' images already contain their certificates.

store=/etc/ssl/certs/ca-certificates.crt
if awk '/BEGIN/ {body = ""} {body = body $0}
    /END/ && NR == FNR {known[body] = 1}
    /END/ && NR != FNR && !(body in known) {lacking = 1}
    END {exit lacking}' "$store" "$1"; then
  touch "$store"
else
  update-ca-certificates >/dev/null && sync -f "$store"
fi
