#!/bin/sh
# keep_gpus: registers the devices of Docker's containers with systemd until they end. This grants
# nothing new: they had access, and the filter of runc and the hook still applies (cgroup v2).

. files/gpu_users/mounts.sh

keep_gpus() {
  gpu_mounts | while read -r scope device; do
    case $scope in docker-*) ;; *) continue ;; esac
    # With any other policy, everything is allowed until a device is named.
    [ "$(systemctl show -P DevicePolicy -- "$scope" </dev/null)" = strict ] || continue
    systemctl set-property --runtime -- "$scope" "DeviceAllow=$device rw" </dev/null || true
  done
}
