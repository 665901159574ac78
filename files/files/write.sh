#!/bin/sh
# PATH MODE OWNER BACKUP: writes a file; the content is on standard input, in base64. backup: what
# somebody else has put there is kept.
#
# Flushed before it gets its name: after a power cut there is the old or the new, whole. So is the
# copy of somebody else's, which is not to be found anywhere else from then on.

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
