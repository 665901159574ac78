#!/bin/sh
# download URL FILE SHA256: FILE is a temporary name, and its content is only used behind this.

set -e
download() {
  curl -fsSL --retry 3 --retry-delay 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
    -o "$2" "$1" &
  transfer=$!
  while kill -0 "$transfer" 2>/dev/null; do
    sleep 2
    [ -f "$2" ] && echo "$(( $(stat -c %s "$2") / 1048576 )) MiB of $(basename "$1")"
  done
  wait "$transfer" || { echo "$1 cannot be downloaded." >&2; exit 1; }
  found=$(sha256sum "$2" | cut -d' ' -f1)
  [ "$found" = "$3" ] || {
    echo "$1 has the sha256 $found, but ${3:-none} is expected:" \
      "the download is damaged or is not what was pinned." >&2
    exit 1; }
}
