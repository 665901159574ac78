#!/usr/bin/env bash
# WRONG FOLDER GROUP COUNT: wrong.sh with its arguments, or that the folder does not respond.

. files/shell/limited.sh

known=$(answered getent group "$3")
limited 240 sh -c "$1" sh "$2" "$3" "$4" "${known:+yes}"
[ $? != 124 ] || echo "silent $2"
