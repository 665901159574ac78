#!/bin/sh
# FILE NOTES BEFORE INVOCATION KEY...; standard input: in base64, the file as it was, with
# live-restore.
#
# What is to be loaded is written down before the file is changed, with the start of the Engine
# (systemd's invocation) that has not read it: the next run finishes one that was cut off.

set -e
umask 077
file=$1 notes=$2 before=$3 invocation=$4; shift 4
if [ ! -f "$notes" ] || [ "$(head -n 1 "$notes")" != "$invocation" ]; then
  rm -f "$before" "$before.live"
  [ ! -f "$file" ] || cp -- "$file" "$before"
  base64 -d >"$before.live"
  echo "$invocation" >"$notes"
fi
[ $# = 0 ] || printf '%s\n' "$@" >>"$notes"
