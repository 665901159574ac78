#!/bin/sh
# gpu_mounts: prints systemd's scope and the device for each device that the hook mounted into a
# container. Devices from a specification are created with mknod instead. A container can only name
# NVIDIA's devices.

gpu_mounts() {
  # shellcheck disable=SC2013 # paths without blanks
  for file in $(grep -lsE ' /dev/nvidia' /proc/[0-9]*/mountinfo); do
    scope=$(grep -oE '[^/]+\.scope' "${file%mountinfo}cgroup" 2>/dev/null | head -n 1)
    [ -z "$scope" ] || awk -v scope="$scope" '
      $5 ~ "^/dev/nvidia(ctl|-uvm|-uvm-tools|-modeset|[0-9]+|-caps/nvidia-cap[0-9]+)$" {
        print scope, $5
      }' "$file" 2>/dev/null
  done | sort -u
}
