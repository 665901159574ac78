#!/bin/sh
# OLD NEW: moves the models of one store to another.
#
# The manifests define which models exist. They are moved last and at once, so that an interrupted
# run is repeated. To another disk, everything is copied first and only removed once it is complete.

set -e
old=$1 new=$2
systemctl stop ollama.service 2>/dev/null || true
mkdir -p "$new"
from=$old
if [ "$(stat -Lc %d "$old")" != "$(stat -Lc %d "$new")" ]; then
  from=$new/.taken-over
  rm -rf "$from"
  trap 'rm -rf "$from"' EXIT
  mkdir "$from"
  echo "copying $(du -shL "$old" | cut -f1) to another disk"
  cp -a "$old/." "$from"
  sync -f "$from"
fi
mkdir -p "$new/blobs"
find "$from/blobs/" -mindepth 1 -maxdepth 1 2>/dev/null | while read -r blob; do
  [ -e "$new/blobs/${blob##*/}" ] || mv -- "$blob" "$new/blobs/"
done
chown -R ollama:ollama "$from/manifests" "$new"
sync -f "$new"
mv -T "$from/manifests" "$new/manifests"
sync -f "$new"
if [ "$from" = "$old" ]; then
  rmdir "$old/blobs" 2>/dev/null || true
else
  rm -rf "$old/blobs" "$old/manifests"
fi
