#!/bin/sh
# FOLDER GROUP COUNT KNOWN: the entries below it that are wrong in a folder shared by the group, at
# most COUNT; all entries if the group does not exist yet.
#
# The folder itself may be a link to another disk; no other links are followed.

[ -d "$1" ] || exit 0
if [ -n "$4" ]; then
  find -H "$1" -xdev \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f \( ! -group "$2" -o ! -perm -040 \) \) -print 2>/dev/null
else
  find -H "$1" -xdev \( -type d -o -type f \) -print 2>/dev/null
fi | head -n "$3"
