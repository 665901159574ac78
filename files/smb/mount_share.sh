#!/bin/sh
# TARGET: mounts the share, behind what systemd reads from /etc/fstab.

. files/gpu_users/keep_gpus.sh

keep_gpus
systemctl daemon-reload && mount -- "$1"
