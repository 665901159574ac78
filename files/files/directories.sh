#!/bin/sh
# (PATH MODE OWNER)...: triples of path, mode and owner: one round trip for all folders in a row.
# The paths are real ones: what is a link by now, or lies behind one, somebody planted since. From
# inside, a folder cannot be exchanged any more.

set -e
while [ $# != 0 ]; do
  real=$(realpath -m -- "$1")
  [ "$real" = "$1" ] || { echo "$1 now leads to $real" >&2; exit 1; }
  [ -d "$1" ] || mkdir -p -- "$1"
  (
    cd -P -- "$1"
    [ "$(pwd -P)" = "$1" ] || { echo "$1 now leads to $(pwd -P)" >&2; exit 1; }
    chown -- "$3" .; chmod -- "$2" .
  )
  shift 3
done
