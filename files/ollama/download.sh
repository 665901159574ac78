#!/bin/sh
# download URL FILE SHA256: FILE is a temporary name; its content is only used after this succeeds.

. files/shell/wait.sh

set -e
arrived() { [ ! -f "$file" ] || echo "$(($(stat -c %s "$file") / 1048576)) MiB of $name"; }
download() {
  file=$2 name=$(basename "$1")
  curl -fsSL --retry 3 --retry-delay 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
    -o "$2" "$1" &
  wait_telling arrived || { echo "$1 cannot be downloaded." >&2; exit 1; }
  found=$(sha256sum "$2" | cut -d' ' -f1)
  [ "$found" = "$3" ] || {
    echo "$1 has the sha256 $found, but ${3:-none} is expected:" \
      "the download is damaged or is not what was pinned." >&2
    exit 1; }
}
