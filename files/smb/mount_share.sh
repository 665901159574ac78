#!/bin/sh
# TARGET: mounts the share, after systemd has read /etc/fstab.

. files/gpu_users/keep_gpus.sh

keep_gpus
systemctl daemon-reload && mount -- "$1"
