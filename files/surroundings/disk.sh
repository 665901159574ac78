#!/bin/sh
# FOLDER: the file system in which it lies, or will lie.
#
# Blanks may be in the names of what is mounted and of where.

place=$1
until [ -d "$place" ]; do place=$(dirname -- "$place"); done
tell() { df -k --output="$1" -- "$place" 2>/dev/null | sed 1d; }
free=$(tell avail) || exit 0
printf 'disk %s\t%s\t%s\t%s\n' "${free##* }" "$(tell fstype)" "$(tell target)" "$1"
