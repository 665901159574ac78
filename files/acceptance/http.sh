#!/bin/sh
# PATIENCE URL OPTION...: seconds that the service may take; options of curl.

patience=$1 url=$2; shift 2
answer=$(curl -sS -i --noproxy '*' --max-time "$patience" "$@" "$url" 2>&1 \
  | head -c 1500 | tr -d '\000\r')
code=$(printf '%s\n' "$answer" | sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' | head -n 1)
[ -z "$code" ] || echo "HTTP $code"
printf '%s\n' "$answer"
case $code in 2??|3??) ;; *) exit 1 ;; esac
