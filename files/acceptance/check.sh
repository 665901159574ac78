#!/bin/sh
# CONTAINER SECONDS COMMAND...: runs a service's own check in its container. Prints the lines of its
# standard output after "out", then the last ones of its errors after "err".
#
# `docker exec` leaves the command running when it is ended itself, so it is ended from the inside
# too if the image has timeout(1).

container=$1 seconds=$2; shift 2
! docker exec "$container" timeout -k 5 9 true >/dev/null 2>&1 </dev/null \
  || set -- timeout -k 5 "$seconds" "$@"
said=$(mktemp -d -p .) || exit 1
timeout -k 5 $((seconds + 5)) docker exec "$container" "$@" >"$said/out" 2>"$said/err" </dev/null
status=$?
head -c 24000 "$said/out" | sed 's/^/out /'
echo
tail -n 5 "$said/err" | cut -c 1-500 | sed 's/^/err /'
exit "$status"
