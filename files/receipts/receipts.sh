#!/usr/bin/env bash
# FOLDER: each receipt, on one line.

[ -d "$1" ] || exit 0
for file in "$1"/*.json; do
  [ ! -f "$file" ] || { printf '%s ' "$file"; tr -d '\n' <"$file"; echo; }
done
