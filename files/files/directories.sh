#!/bin/sh
# (PATH MODE OWNER)...: triples of path, mode and owner, so that consecutive folders need one round
# trip. The paths are real ones: if one has become a link, or is behind one, somebody planted it
# since. Once it is the current folder, it cannot be exchanged.

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
