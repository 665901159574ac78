#!/bin/sh
# PROPERTIES UNIT...: the properties of each unit, from systemd.
#
# A path stands for the unit that mounts it. A unit that is starting, or waiting for another try,
# has not failed yet.

. files/shell/wait.sh

properties=$1 units=''; shift
for unit; do
  case $unit in /*) unit=$(systemd-escape -p --suffix=mount "$unit") ;; esac
  units="$units $unit"
done
# shellcheck disable=SC2329 # wait_until calls it
settled() {
  # shellcheck disable=SC2086 # a list, one word each
  seen=$(systemctl show -p "$properties" -- $units 2>&1); status=$?
  ! printf '%s\n' "$seen" | grep -q '^ActiveState=activating'
}
wait_until 90 2 settled
printf '%s\n' "$seen"
exit "$status"
