#!/usr/bin/env bash
# COUNT USER... GROUP...: number of users among them; names and numbers.

. files/shell/limited.sh

found() {
  local kind=$1 asked name number group; shift
  for asked; do
    IFS=: read -r name _ number group _ <<<"$(answered getent "$kind" "$asked")"
    [ "$kind" = group ] || number=$number:$group
    [ -z "$name" ] || printf '%s\t%s\t%s\t%s\n' "$kind" "$asked" "$name" "$number"
  done
}
count=$1; shift
found passwd "${@:1:count}"
shift "$count"
found group "$@"
