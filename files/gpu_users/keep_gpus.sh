#!/bin/sh
# keep_gpus: lets systemd know the devices of Docker's containers until they end. It widens nothing:
# they had access, and the filter of runc and the hook is asked beside it (cgroup v2).

. files/gpu_users/mounts.sh

keep_gpus() {
  gpu_mounts | while read -r scope device; do
    case $scope in docker-*) ;; *) continue ;; esac
    # With another policy everything is allowed until something is named.
    [ "$(systemctl show -P DevicePolicy -- "$scope" </dev/null)" = strict ] || continue
    systemctl set-property --runtime -- "$scope" "DeviceAllow=$device rw" </dev/null || true
  done
}
