#!/usr/bin/env bash
# LOOK KEY COUNT SECRET... PATH...: look.sh with its arguments, or the path that does not respond.

. files/shell/limited.sh

look=$1; shift
limited 60 bash -c "$look" bash "$@"
[ $? = 124 ] || exit 0
shift 2
for word in '%i silent' '%U%G nameless'; do
  for path; do
    limited 5 stat -L -c "${word% *}" -- "$path" >/dev/null 2>&1
    [ $? != 124 ] || { echo "${word#* } $path"; exit 0; }
  done
done
echo "the paths do not respond" >&2; exit 1
