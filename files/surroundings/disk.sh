#!/bin/sh
# FOLDER: the file system that contains it, or will contain it.
#
# Names of devices and mountpoints may contain spaces.

place=$1
until [ -d "$place" ]; do place=$(dirname -- "$place"); done
tell() { df -k --output="$1" -- "$place" 2>/dev/null | sed 1d; }
free=$(tell avail) || exit 0
printf 'disk %s\t%s\t%s\t%s\n' "${free##* }" "$(tell fstype)" "$(tell target)" "$1"
