#!/usr/bin/env bash
# LOOK PATH...: look.sh of each.

. files/shell/limited.sh

look=$1; shift
for path; do
  echo "path $path"
  limited 30 sh -c "$look" sh "$path"
  [ $? != 124 ] || echo silent
done
