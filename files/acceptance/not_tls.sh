#!/bin/sh
# URL PLAIN: checks that a service that answers plain HTTP at PLAIN rejects TLS at URL.
#
# curl's status 35: the handshake failed, as it does with a plain HTTP server.

said=$(curl -sS --noproxy '*' -k --max-time 200 -o /dev/null "$1" 2>&1); status=$?
case $status in
  35) echo "its address is $2, https:// there fails (${said##*:})" ;;
  0) echo "it answers at $1 instead of $2"; false ;;
  *) echo "$said"; false ;;
esac
