#!/bin/sh
# FORMAT ID...: format of `docker inspect`; the containers.
#
# For an unhealthy container also its last output and that of its health check.

format=$1; shift
[ $# != 0 ] || exit 0
seen=$(docker inspect -f "$format" "$@" 2>&1)
printf '%s\n' "$seen"
printf '%s\n' "$seen" | while read -r word id status health _; do
  [ "$word" = state ] || continue
  case $status/$health in running/healthy|running/none) continue ;; esac
  docker logs --tail 15 "$id" 2>&1 | cut -c 1-200 | sed "s/^/log $id /"
  docker inspect -f '{{with index .State "Health"}}{{range .Log}}{{println .Output}}{{end}}{{end}}' "$id" \
    | grep . | tail -n 3 | cut -c 1-200 | sed "s/^/check $id /"
done
