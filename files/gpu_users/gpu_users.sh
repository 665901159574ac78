#!/usr/bin/env bash
# CONTAINER: the format of `docker inspect`.

. files/daemon/engine.sh
. files/gpu_users/mounts.sh

scopes=
if command -v docker >/dev/null; then
  running=$(engine ps -q --no-trunc 2>/dev/null)
  # shellcheck disable=SC2086 # a list, one word each
  [ -z "$running" ] || engine inspect -f "$1" $running 2>/dev/null
  # shellcheck disable=SC2086 # a list, one word each
  scopes=$(printf '%s\n' $running | sed 's/.*/docker-&.scope/')
fi
mounts=$(gpu_mounts)
printf '%s\n' "$mounts" | sed -n '/./s/^/mount /p'
for device in $(printf '%s\n' "$mounts" | cut -d' ' -f2 | sort -u); do
  numbers=$(stat -c '%t %T' "$device" 2>/dev/null) || continue
  echo "number $device $((0x${numbers% *})):$((0x${numbers#* }))"
done
# shellcheck disable=SC2086 # a list, one word each
for scope in $(printf '%s\n' $scopes "$mounts" | cut -d' ' -f1 | sort -u); do
  limited 60 systemctl show -p DevicePolicy,DeviceAllow -- "$scope" 2>/dev/null \
    | sed "s/^/unit $scope /"
done
true
