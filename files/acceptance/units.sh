#!/bin/sh
# PROPERTIES UNIT...: what systemd shows of each unit.
#
# A path stands for the unit that mounts it. One that is just being started, or waits to be tried
# again, is not yet a broken promise.

properties=$1 units='' tries=90; shift
for unit; do
  case $unit in /*) unit=$(systemd-escape -p --suffix=mount "$unit") ;; esac
  units="$units $unit"
done
# shellcheck disable=SC2086 # a list, one word each
while seen=$(systemctl show -p "$properties" -- $units 2>&1); status=$?
  printf '%s\n' "$seen" | grep -q '^ActiveState=activating' && [ "$tries" -gt 0 ]
do
  sleep 2; tries=$((tries - 1))
done
printf '%s\n' "$seen"
exit $status
