#!/bin/sh
# CONTAINER SAYS TROUBLE...: the first lines of its log with one of these words, and its last lines.
#
# Only what this start of the container wrote. Docker numbers its older log files.

id=$1 says=$2; shift 2
since=$(docker inspect -f '{{.State.StartedAt}}' "$id" 2>&1) || { echo "$since"; exit 1; }
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
docker logs --since "$since" "$id" >"$log" 2>&1 || { tail -n 1 "$log"; exit 1; }
grep -F -m 1 -e "$says" -- "$log" | sed 's/^/says /'
for trouble; do grep -F -m 1 -e "$trouble" -- "$log" | sed 's/^/trouble /'; done
path=$(docker inspect -f '{{.LogPath}}' "$id")
[ ! -e "$path.1" ] || echo rotated
tail -n 50 -- "$log" | cut -c 1-200 | sed 's/^/log /'
