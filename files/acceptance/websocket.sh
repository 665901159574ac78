#!/bin/sh
# PATIENCE URL OPTION...: seconds that the service may take; options of curl.
#
# The handshake of RFC 6455. After status 101 curl waits for frames, which may never come, so it is
# stopped once it has the headers.

patience=$1 url=$2; shift 2
file=$(mktemp) || exit 1
trap 'rm -f "$file"' EXIT
curl -sSN -i --noproxy '*' --http1.1 --max-time "$patience" -H 'Connection: Upgrade' \
  -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
  -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$@" "$url" >"$file" 2>&1 &
while kill -0 $! 2>/dev/null; do
  case $(head -n 1 "$file" | tr -d '\000') in
    *" 101"*) grep -q "^.$" "$file" && kill $! 2>/dev/null ;;
  esac
  sleep 0.2
done
answer=$(head -c 1500 "$file" | LC_ALL=C tr -cd '[:print:]\n')
code=$(printf '%s\n' "$answer" | sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' | head -n 1)
[ -z "$code" ] || echo "HTTP $code"
if [ "$code" = 101 ]; then
  printf '%s\n' "$answer" | sed '/^curl: /d; /^$/,$d'
else
  printf '%s\n' "$answer"; exit 1
fi
