#!/bin/sh
# UNIT ENVIRONMENT RELEASES FILE: the unit's name, its environment file, the folder of the releases,
# and the unit's file.

. files/gpu_users/keep_gpus.sh

systemctl disable --now -- "$1" 2>/dev/null
rm -rf -- "$2" "$3" "$4"
keep_gpus
systemctl daemon-reload
