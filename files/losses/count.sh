#!/bin/sh
# FOLDER: prints its size in KiB, its number of files, and the time of the newest change.

[ -d "$1" ] || exit 0
folder=$(readlink -f -- "$1")
size=$(du -skx -- "$folder" | cut -f 1)
find "$folder" -xdev -type f -printf '%T@\n' | awk -v "size=$size" '
  $1 > newest {newest = $1}
  END {printf "%d %d %d", size, NR, newest}'
