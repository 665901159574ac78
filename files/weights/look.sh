#!/bin/sh
# PATH: what it is, and its first bytes, or the names in it or next to it. For a diffusers model, its
# index, and the files in its folders with their size; links are followed.

folder=$1
[ ! -L "$1" ] || echo "link $(readlink -n -- "$1" | tr '\n' '?')"
if [ -f "$1" ]; then
  echo "file $(stat -Lc %s -- "$1") $(head -c 9 -- "$1" | od -An -tx1 | tr -d ' \n')"
  exit
elif [ -d "$1" ]; then
  echo folder
else
  folder=${1%/*}
fi
# shellcheck disable=SC2012 # names are only shown
ls -1q -- "$folder" 2>/dev/null | head -n 100 | sed 's/^/entry /'
[ -d "$1" ] && [ -f "$1/model_index.json" ] || exit 0
echo "index $(head -c 65536 -- "$1/model_index.json" | base64 -w0)"
# In the folder, so that its own name, which may begin with a dash, is no argument of find.
cd -- "$1" && find -L . -mindepth 2 -maxdepth 2 -type f -printf '%s %P\0' 2>/dev/null \
  | head -zn 1000 | tr '\n\0' '?\n' | sed 's/^/inside /'
