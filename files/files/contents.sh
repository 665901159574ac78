#!/usr/bin/env bash
# PATH...: the content of each path that is a file.

for path; do
  [ -f "$path" ] || continue
  printf '%s ' "$(base64 -w0 -- "$path")"; printf '%s\n' "$path"
done
