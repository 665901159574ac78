#!/bin/sh
# CONTAINER FOLDER TOKEN: whether the container can read the folder but not write to it.
#
# A failed redirection ends a shell, hence the inner one.

docker exec "$1" sh -c '
  [ -d "$1" ] || { echo "$1 is not there"; exit 1; }
  entries=$(ls -1A "$1") || { echo "$1 cannot be read"; exit 1; }
  if (: >"$1/.acceptance-$2") 2>/dev/null; then
    rm -f "$1/.acceptance-$2"
    echo "$1 is writable"; exit 1
  fi
  echo "$1 has $(ls -1A "$1" | wc -l) entries, writing is refused"
  printf "%s\n" "$entries"' sh "$2" "$3" 2>&1
