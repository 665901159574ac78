#!/bin/sh
# PATH: what it is, and its first bytes, or the names in it or next to it.

folder=$1
[ ! -L "$1" ] || echo "link $(readlink -n -- "$1" | tr '\n' '?')"
if [ -f "$1" ]; then
  echo "file $(stat -Lc %s -- "$1") $(head -c 8 -- "$1" | od -An -tx1 | tr -d ' \n')"
  exit
elif [ -d "$1" ]; then
  echo folder
else
  folder=${1%/*}
fi
# shellcheck disable=SC2012 # names are only shown
ls -1q -- "$folder" 2>/dev/null | head -n 100 | sed 's/^/entry /'
