#!/bin/sh
# URL PLAIN: whether a service that speaks plain HTTP at one address refuses TLS at the other.
#
# curl's 35: the handshake failed, as it does with a server that speaks plain HTTP.

said=$(curl -sS --noproxy '*' -k --max-time 200 -o /dev/null "$1" 2>&1); status=$?
case $status in
  35) echo "its address is $2, https:// there fails (${said##*:})" ;;
  0) echo "it answers at $1 instead of $2"; false ;;
  *) echo "$said"; false ;;
esac
