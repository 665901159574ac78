#!/bin/sh
# gpu_mounts: prints scope of systemd and device of what the hook has mounted into containers. What
# a specification names is made there by mknod. A container cannot name anything but NVIDIA's.

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
