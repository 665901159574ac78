#!/bin/sh
# CONTAINER FOLDER TOKEN: whether the container can write a file there.
#
# As the user that the service itself runs as, which an entrypoint may have changed.

user=$(docker top "$1" -eo uid,pid 2>/dev/null | awk 'NR > 1 {print $1}' | sort -n | tail -n 1)
said=$(docker exec --user "${user:-0}" "$1" sh -c '
  printf "%s" "$2" > "$1/.acceptance-$2" && ls -ln "$1/.acceptance-$2"' sh "$2" "$3" 2>&1) || {
  printf '%s\n' "$said"; exit 1; }
printf 'written by uid %s\n%s\n' "${user:-0}" "$said"
