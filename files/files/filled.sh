#!/usr/bin/env bash
# FOLDER: one entry of it, if it has any besides the file system's own lost+found.

. files/shell/limited.sh

limited 60 find "$1/" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit
[ $? != 124 ] || { echo "$1 does not answer" >&2; exit 1; }
