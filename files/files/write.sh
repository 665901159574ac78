#!/bin/sh
# PATH MODE OWNER BACKUP: writes a file; the content is on standard input, in base64. backup: keeps
# a copy of somebody else's file. The path is a real one.
#
# It is flushed before it gets its name, so after a power cut there is either the old or the new
# file, complete. So is the copy of somebody else's file, which exists nowhere else from then on.
# The new file is created under a name that nobody can know before, and from then on only its
# descriptor is used: somebody who may write to the folder could exchange it.

. files/shell/enter.sh

set -e
umask 077
enter "$(dirname -- "$1")"
name=$(basename -- "$1")
kept=$name.before-ai-workstation
temporary=$(mktemp -u "./.$name.XXXXXXXXXX")
trap 'rm -f "$temporary" "$temporary.kept"' EXIT
set -C
exec 9>"$temporary"
set +C
base64 -d >&9
if [ "$4" = backup ] && [ -f "./$name" ] && [ ! -e "./$kept" ] \
  && ! grep -q ai-workstation "./$name"; then
  cp -a "./$name" "$temporary.kept"
  sync "$temporary.kept"
  mv -T "$temporary.kept" "./$kept"
fi
chown -- "$3" /proc/self/fd/9
chmod -- "$2" /proc/self/fd/9
sync /proc/self/fd/9
mv -fT "$temporary" "./$name"
trap - EXIT
sync .
