#!/bin/sh
# CONTAINER URL: whether the container reaches Ollama.
#
# Uses any HTTP client that the image contains. A packet that a firewall drops gets no answer.

. files/firewall/dropping.sh

# shellcheck disable=SC2016 # for the container's shell
said=$(docker exec "$1" sh -c '
  if command -v curl >/dev/null; then exec curl -sSf --max-time 60 "$1"; fi
  if command -v wget >/dev/null; then exec wget -qO- -T 60 "$1"; fi
  if command -v python3 >/dev/null; then
    exec python3 -c "import sys, urllib.request as request
print(request.urlopen(sys.argv[1], timeout=60).read().decode())" "$1"
  fi
  if command -v node >/dev/null; then
    exec node -e "fetch(process.argv[1]).then(r => r.text()).then(console.log)" "$1"
  fi
  echo "the image has no HTTP client"; exit 3' sh "$2" 2>&1)
status=$?
if [ "$status" != 0 ]; then
  port=${2##*:}; chains=$(dropping "${port%%/*}" | paste -sd, -)
  [ -z "$chains" ] || echo "$chains, drops traffic from containers"
  rules=$(
    nft list ruleset 2>/dev/null | grep -E 'hook input|drop|reject' | head -n 20
    ufw status 2>/dev/null | grep -q '^Status: active' && ufw show added)
fi
printf '%s\n' "$said"
[ -z "$rules" ] || printf '%s\n' "$rules"
exit "$status"
