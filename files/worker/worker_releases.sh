#!/usr/bin/env bash
# RELEASES UNIT: the folder of the releases, and the unit's file.

for file in "$1"/*/.complete; do
  [ ! -e "$file" ] || { release=${file%/.complete}; echo "release ${release##*/}"; }
done
[ ! -L "$1/current" ] || echo "current $(readlink "$1/current")"
if [ -e "$2" ] || [ -e "$1" ]; then echo present; fi
