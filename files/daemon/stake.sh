#!/usr/bin/env bash
# FORMAT: of the running containers. Prints what a restart of the Engine affects.
#
# A unit that requires docker.service, is bound to it or part of it restarts with it
# (systemd.unit(5)). Only the verb of a command line is printed: the rest may contain a password.

. files/daemon/engine.sh

command -v docker >/dev/null || exit 0
# shellcheck disable=SC2013 # paths without blanks
for file in $(grep -lxsE 'docker|docker-compose|docker-buildx|com\.docker\.cli' \
    /proc/[0-9]*/comm); do
  process=${file%/comm}
  verb=$(tr '\0' '\n' <"$process/cmdline" 2>/dev/null | sed 1d \
    | grep -xE -m 1 'run|attach|exec|start|up|build|bake|pull|push|cp|save|load')
  [ -n "$verb" ] || continue
  unit=$(grep -oE '[^/]+\.service$' "$process/cgroup" 2>/dev/null | head -n 1)
  echo "client docker $verb (process ${process#/proc/}${unit:+ of $unit})"
done
for unit in $(answered systemctl show -P RequiredBy -P BoundBy -P ConsistsOf \
    docker.service 2>/dev/null | tr ' ' '\n' | sort -u); do
  case $unit in ai-workstation-*) continue ;; esac
  ! answered systemctl -q is-active "$unit" || echo "unit $unit"
done
running=$(engine ps -q --no-trunc 2>/dev/null)
# shellcheck disable=SC2086 # a list, one word each
[ -z "$running" ] || engine inspect -f "$1" $running 2>/dev/null
cat "$answers/wedged" 2>/dev/null
true
