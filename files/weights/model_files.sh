#!/usr/bin/env bash
# LOOK PATH...: runs look.sh for each.

. files/shell/limited.sh

look=$1; shift
for path; do
  echo "path $path"
  limited 30 sh -c "$look" sh "$path"
  [ $? != 124 ] || echo silent
done
