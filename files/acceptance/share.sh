#!/bin/sh
# MOUNTPOINT UNC: whether this share is mounted there.

seen=$(findmnt -n -t cifs,smb3 -o SOURCE -M "$1" | tail -n 1)
# SMB knows no upper and lower case, and no slash at the end.
# shellcheck disable=SC2018,SC2019 # tr takes bytes for characters
same() { [ "$(printf %s "${1%/}" | tr A-Z a-z)" = "$(printf %s "$2" | tr A-Z a-z)" ]; }
echo "${seen:-nothing is mounted on $1}"
findmnt -n -o OPTIONS -M "$1" | tail -n 1
same "$seen" "$2"
