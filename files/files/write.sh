#!/bin/sh
# PATH MODE OWNER BACKUP: writes a file; the content is on standard input, in base64. backup: keeps
# a copy of somebody else's file.
#
# It is flushed before it gets its name, so after a power cut there is either the old or the new
# file, complete. So is the copy of somebody else's file, which exists nowhere else from then on.

set -e
umask 077
kept=$1.before-ai-workstation
temporary=$(mktemp "$(dirname "$1")/.$(basename "$1").XXXXXX")
trap 'rm -f "$temporary" "$temporary.kept"' EXIT
base64 -d > "$temporary"
if [ "$4" = backup ] && [ -f "$1" ] && [ ! -e "$kept" ] && ! grep -q ai-workstation "$1"; then
  cp -a "$1" "$temporary.kept"
  sync "$temporary.kept"
  mv -T "$temporary.kept" "$kept"
fi
chown "$3" "$temporary"
chmod "$2" "$temporary"
sync "$temporary"
mv -fT "$temporary" "$1"
trap - EXIT
sync "$(dirname "$1")"
