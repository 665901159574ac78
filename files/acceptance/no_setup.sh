#!/bin/sh
# PATIENCE SHOWS URL OPTION...: succeeds if the answer, apart from spaces, does not contain SHOWS.
#
# An answer that is no success says nothing about the page.

patience=$1 shows=$(printf %s "$2" | tr -d '[:space:]') url=$3; shift 3
answer=$(curl -sS -f --noproxy '*' --max-time "$patience" "$@" "$url" 2>&1) || {
  printf '%s\n' "$answer" | head -c 1500; exit 1
}
case $(printf %s "$answer" | tr -d '[:space:]') in
  *"$shows"*) echo "its set-up page is open: the answer contains $shows"; exit 1 ;;
esac
echo "its set-up page is closed"
