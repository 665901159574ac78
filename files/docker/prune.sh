#!/bin/sh
# IDS IMAGE...: removes the other tags of images built here, except those with these ids.
#
# Of an image built here, the current and the previous one are kept for a rollback.

before=$1; shift
for image in "$@"; do
  docker image ls --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' "${image%:*}" |
    while read -r id name; do
      [ "$name" = "$image" ] && continue
      case " $before " in *" $id "*) continue ;; esac
      docker image rm "$name" >/dev/null && echo "removed image $name"
    done
done
true
