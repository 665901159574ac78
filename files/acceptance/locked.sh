#!/bin/sh
# PATIENCE URL KIND OPTION...: seconds that the service may take; the login that is asked for
# (password, forward, none, or unknown for somebody else's proxy); options of curl without a login.
#
# Asks as a stranger, and as a page of another origin in the browser of somebody who has logged in.

patience=$1 url=$2 kind=$3; shift 3
code() { curl -sS -o /dev/null -w '%{http_code}' --noproxy '*' --max-time "$patience" "$@" "$url"; }
stranger=$(code "$@" 2>&1)
echo "HTTP $stranger without a login"
case $kind/$stranger in
  password/401|forward/[34]??|none/*) ;;
  unknown/*) exit 0 ;;
  *) exit 1 ;;
esac
[ "$kind" != password ] || set -- -K login "$@"
foreign=$(code -H 'Origin: http://elsewhere.example' "$@" 2>&1)
echo "HTTP $foreign for a page of another origin"
[ "$foreign" = 404 ]
