#!/bin/sh
# FOLDER NAME COUNT: stores the receipt on standard input, and keeps the last COUNT of them.

set -e
mkdir -p "${1%/*}"
umask 027
mkdir -p "$1"
chmod 750 "$1"
cat >"$1/.new"
sync "$1/.new"
mv "$1/.new" "$1/$2"
# shellcheck disable=SC2012 # names of ours, in order
ls -1 "$1" | head -n "-$3" | while read -r old; do rm -f -- "$1/$old"; done
