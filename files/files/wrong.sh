#!/bin/sh
# FOLDER GROUP COUNT KNOWN: the entries below it that a folder shared by the group must not have, at
# most COUNT; all where the group is not known yet.
#
# The folder itself may be a link, to another disk; no other is followed.

[ -d "$1" ] || exit 0
if [ -n "$4" ]; then
  find -H "$1" -xdev \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f \( ! -group "$2" -o ! -perm -040 \) \) -print 2>/dev/null
else
  find -H "$1" -xdev \( -type d -o -type f \) -print 2>/dev/null
fi | head -n "$3"
