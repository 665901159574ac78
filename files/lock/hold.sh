#!/usr/bin/env bash
# WHO FILE NAME SILENCE: holds the lock of the file for as long as a word arrives on standard input
# every SILENCE seconds.
#
# Only root can create the file, and open it: anyone else who could would hold the lock, or leave
# something there that blocks. The holder's name tells a refused run, or anyone who runs ps(1), who
# holds it. Only shells of root, or of the user who became root, count: anyone may give a program
# that name. They count without the lock too: older versions lock another file. A login script that
# printed something before may have left its line unfinished.

who=$1 file=$2 name=$3 silence=$4
told() { printf '\n%s\n' "$name $*"; }
holder() {
  local pid
  for pid in $(pgrep -U "$(id -u),${SUDO_UID:-$(id -u)}" -f "^$name: "); do
    case $(readlink "/proc/$pid/exe") in
      */bash) tr '\0' ' ' <"/proc/$pid/cmdline" | sed "s/^$name: //; s/ -c .*//; q"; return ;;
    esac
  done
  return 1
}
umask 077
exec 9<>"$file" || { told unusable; exit; }
if ! flock -n 9 || found=$(holder); then
  told busy "${found-$(holder)}"
  exit
fi
# It reports the lock only once it has its name, because another run that is refused looks for it.
# shellcheck disable=SC2016 # for the shell that it becomes
exec -a "$name: $who" bash -c '
  printf "\n%s held\n" "$1"
  while IFS= read -r -t "$0" word; do :; done' "$silence" "$name"
