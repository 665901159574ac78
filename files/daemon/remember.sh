#!/bin/sh
# FILE NOTES BEFORE INVOCATION KEY...; standard input: in base64, the old file with live-restore
# added.
#
# Keys to be loaded are noted before the file is changed, with the start of the Engine (systemd's
# invocation) that has not read them, so that the next run can complete an interrupted one.

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
