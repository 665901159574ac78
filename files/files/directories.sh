#!/bin/sh
# (PATH MODE OWNER)...: triples of path, mode and owner, so that consecutive folders need one round
# trip. The paths are real ones: if one has become a link, or is behind one, somebody planted it
# since.

. files/shell/enter.sh

set -e
while [ $# != 0 ]; do
  (enter "$1" make && chown -- "$3" . && chmod -- "$2" .) || exit 1
  shift 3
done
