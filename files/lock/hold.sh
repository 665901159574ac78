#!/usr/bin/env bash
# WHO FILE NAME SILENCE: holds the lock of the file for as long as a word arrives on standard input
# every SILENCE seconds.
#
# The holder's name tells a refused run, or anyone who runs ps(1), who holds it. The file is only
# opened for reading, since another user may have created it. A login script that printed something
# before may have left its line unfinished.

who=$1 file=$2 name=$3 silence=$4
[ -e "$file" ] || (umask 0; : >"$file")
told() { printf '\n%s\n' "$name $*"; }
exec 9<"$file" || { told unusable; exit; }
if ! flock -n 9; then
  holder=$(pgrep -af "^$name: " | sed "s/^[0-9]* $name: //; s/ -c .*//" | head -n 1)
  told busy "$holder"
  exit
fi
# It reports the lock only once it has its name, because another run that is refused looks for it.
# shellcheck disable=SC2016 # for the shell that it becomes
exec -a "$name: $who" bash -c '
  printf "\n%s held\n" "$1"
  while IFS= read -r -t "$0" word; do :; done' "$silence" "$name"
