#!/bin/sh
# Starts the containers recorded in $kept as stopped for the share, and ends the script.
#
# $status is the mount's. A container started while nothing was mounted would keep the bare folder,
# so all stay on record until the share is mounted. A container only counts as gone if Docker says
# so.

# shellcheck disable=SC2154 # $kept and $status are of who includes this

gone() { ! docker inspect --type container "$1" >/dev/null 2>&1 && docker ps -q >/dev/null 2>&1; }
left=
for name in $([ ! -f "$kept" ] || awk '!seen[$0]++' "$kept"); do
  gone "$name" || left="$left $name"
done
# Twice: one may need the network of another.
for how in restart start; do
  names=$left left=
  for name in $names; do docker "$how" "$name" >/dev/null || left="$left $name"; done
done
[ "$status" = 0 ] || exit "$status"
[ -n "$left" ] || { rm -f "$kept"; exit; }
# shellcheck disable=SC2086 # a list, one word each
printf '%s\n' $left >"$kept.new" && mv "$kept.new" "$kept"
exit 1
