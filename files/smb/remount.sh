#!/bin/sh
# TARGET AUTOMOUNT KEPT STOPPED... -- FLEETING...: mounts the share anew. AUTOMOUNT: a unit that
# ends, or nothing; KEPT: the record of containers without the share; containers that are stopped
# around the mount, and those that would be gone then and are restarted.
#
# Containers hold the mount that was there when they started: they are stopped around it, whatever
# becomes of the mount or of this run's connection. One that is gone once it is stopped is started
# anew instead; Docker keeps it through that (moby, daemon/restart.go).

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
