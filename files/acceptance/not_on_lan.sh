#!/bin/sh
# PORT: checks that it does not answer on the host's LAN addresses.
#
# Firewalls let a host reach itself on its LAN address, so other machines get no further.

. files/acceptance/is_bridge.sh

open='' closed=
addresses=$(ip -o addr show scope global) || exit 1
while read -r _ interface _ address _; do
  address=${address%%/*}
  # shellcheck disable=SC2015 # neither is one to ask
  [ -n "$address" ] && ! is_bridge "$interface" || continue
  case $address in *:*) address="[$address]" ;; esac
  # The kernel accepts a connection even if the program is busy and answers late.
  connected=$(curl -s --noproxy '*' -o /dev/null --connect-timeout 5 --max-time 6 \
    -w '%{time_connect}' "http://$address:$1/")
  case $connected in
    *[1-9]*) open="$open $address" ;;
    *) closed="$closed $address" ;;
  esac
done <<EOF
$addresses
EOF
if [ -n "$open" ]; then
  echo "port $1 answers on$open"
else
  echo "port $1 does not answer on${closed:- any address: there is none}"
fi
ss -Hltnp "sport = :$1"
[ -z "$open" ]
