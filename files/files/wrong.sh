#!/bin/sh
# FOLDER GROUP COUNT KNOWN: the entries below it that are wrong in a folder shared by the group, at
# most COUNT; all entries if the group does not exist yet.
#
# The folder itself may be a link to another disk; no other links are followed. A name may contain a
# line break, which would look like the name of another entry.

. files/files/several.sh

[ -d "$1" ] || exit 0
# shellcheck disable=SC2046 # none or two words
if [ -n "$4" ]; then
  find -H "$1" -xdev \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f $(several) \( ! -group "$2" -o ! -perm -040 \) \) -print0 2>/dev/null
else
  find -H "$1" -xdev \( -type d -o -type f $(several) \) -print0 2>/dev/null
fi | head -z -n "$3" | sed -z 's/\n/\\n/g' | tr '\0' '\n'
