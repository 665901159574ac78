#!/usr/bin/env bash
# TARGET CONTAINER PROCESS: the mountpoint, and two formats of `docker inspect`.
#
# A container's mounts are read from the kernel, which also finds those through a link or a volume
# that stands for a folder of the share.

. files/daemon/engine.sh

echo "target $1"
command -v docker >/dev/null || exit 0
running=$(engine ps -q --no-trunc 2>/dev/null)
if [ -n "$running" ]; then
  # shellcheck disable=SC2086 # a list, one word each
  engine inspect --type container -f "$2" $running
  device=$(AT=$1 awk '$5 == ENVIRON["AT"] {found = $3} END {print found}' \
    /proc/self/mountinfo)
  # shellcheck disable=SC2086 # a list, one word each
  [ -z "$device" ] || engine inspect --type container -f "$3" $running \
    | while read -r pid name; do
    awk -v "device=$device" '$3 == device {found = 1} END {exit !found}' \
      "/proc/$pid/mountinfo" 2>/dev/null && echo "has $name"
  done
fi
cat "$answers/wedged" 2>/dev/null
true
