#!/bin/sh
# OLD NEW: moves the models of one store to another; both are real paths.
#
# The manifests define which models exist. They are moved last and at once, so that an interrupted
# run is repeated. To another disk, everything is copied first and only removed once it is complete;
# so are models that do not all belong to Ollama's user.
#
# Whoever owns a store may have put anything there, such as links, and may exchange it meanwhile. So
# root moves nothing itself: the old store's owner reads, and Ollama's user writes. What rm(1)
# removes in a folder that was entered is in that folder: it follows no link.

. files/shell/enter.sh

set -e
old=$1 new=$2 uid=$(id -u ollama) gid=$(id -g ollama)
as() {
  ids=$1; shift
  setpriv --reuid="${ids%:*}" --regid="${ids#*:}" --clear-groups -- "$@"
}
ours() { as "$uid:$gid" "$@"; }
systemctl stop ollama.service 2>/dev/null || true
enter "$new" make
chown -- "$uid:$gid" .
from=$old
if [ "$(stat -Lc %d "$old")" != "$(stat -Lc %d .)" ] \
  || [ -n "$(find "$old" ! -uid "$uid" -print -quit)" ]; then
  from=.taken-over
  ours rm -rf "$from"
  trap 'ours rm -rf "$from"' EXIT
  ours mkdir "$from"
  echo "copying $(du -sh "$old" | cut -f1)"
  # A pipe has the status of its last program only.
  given=$({ {
    (enter "$old"; as "$(stat -c %u:%g .)" tar -cf - -- blobs manifests); echo $? >&3
  } | ours tar -xf - -C "$from" >&2; } 3>&1)
  [ "$given" = 0 ] || exit 1
  sync -f "$from"
fi
ours mkdir -p blobs
# shellcheck disable=SC2016 # for the shell of that user
ours sh -c 'for blob in "$0"/blobs/*; do
  [ -e "./blobs/${blob##*/}" ] || [ ! -e "$blob" ] || mv -- "$blob" ./blobs/ || exit
done' "$from"
sync -f .
ours mv -T "$from/manifests" ./manifests
sync -f .
if [ "$from" = "$old" ]; then
  ours rmdir "$old/blobs" 2>/dev/null || true
else
  (enter "$old" && rm -rf ./blobs ./manifests)
fi
