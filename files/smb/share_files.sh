#!/usr/bin/env bash
# PROBE MOUNT SERVER SHARE USER DOMAIN SECONDS PATIENCE OPTIONS NAME FOLDER...: probe.py, with its
# own arguments from the third on; then the files are removed through the mount. The password is on
# standard input.

code=$1 mount=$2; shift 2
python3 -B -c "$code" "$@"
name=$8; shift 8
mountpoint -q -- "$mount" || exit 0
for folder; do rm -f -- "$mount/$folder/$name"; done
