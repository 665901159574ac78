#!/bin/sh
# TARGET AUTOMOUNT KEPT STOPPED... -- FLEETING...: remounts the share. AUTOMOUNT: a unit to remove,
# or nothing; KEPT: the record of containers without the share; containers to stop during the
# remount, and those to restart instead, because stopping removes them.
#
# Containers keep the mount that existed when they started, so they are stopped during the remount
# and started again, whether or not the mount succeeds or the connection is lost. A container that
# would be removed once stopped is restarted instead; Docker keeps it then (moby,
# daemon/restart.go).

. files/gpu_users/keep_gpus.sh

target=$1 automount=$2 kept=$3; shift 3
stopped=
while [ "$1" != -- ]; do stopped="$1 $stopped"; shift; done
shift
fleeting=$*
mounted() {
  AT=$target awk '$5 == ENVIRON["AT"] {found = 1} END {exit !found}' /proc/self/mountinfo
}
trap '' HUP INT TERM PIPE
if [ -n "$stopped$fleeting" ]; then
  mkdir -p "$(dirname "$kept")"
  # shellcheck disable=SC2086 # a list, one word each
  printf '%s\n' $stopped $fleeting >>"$kept"
  sync "$kept"
fi
# shellcheck disable=SC2086 # a list, one word each
[ -z "$stopped" ] || docker stop $stopped >/dev/null
[ -z "$automount" ] || systemctl stop "$automount"
keep_gpus
systemctl daemon-reload
tries=9
while mounted && [ "$tries" -gt 0 ]; do
  umount "$target" || umount -l "$target" || break
  tries=$((tries - 1))
done
mount -- "$target"; status=$?
. files/smb/restart_stopped.sh
