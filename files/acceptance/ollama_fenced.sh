#!/bin/sh
# SOCKET: checks that containers cannot manage Ollama through this socket unit's addresses.
#
# Ollama itself would answer a GET for this path with 404 or 405.

addresses=$(systemctl show -P Listen -- "$1" | sed -n 's/^\(.*\) (Stream)$/\1/p')
for address in $addresses; do
  said=$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' --max-time 60 "http://$address/api/delete" 2>&1)
  seen="$seen, $address/api/delete answers $said"
  [ "$said" = 403 ] || open=true
done
echo "${seen#, }"
[ -n "$addresses" ] && [ -z "$open" ]
