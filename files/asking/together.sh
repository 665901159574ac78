#!/usr/bin/env bash
# MARK GIVEN COMMAND...: each command is a question of its own. If GIVEN is not empty, standard
# input contains the input of each, separated by the mark.

. files/shell/limited.sh

mark=$1 given=$2; shift 2
[ -z "$given" ] || awk -v mark="$mark" -v to="$answers/in" \
  'BEGIN {n = 1} $0 == mark {n++; next} {print > (to n)}'
number=0
for command; do
  number=$((number + 1)); : >>"$answers/in$number"
  sh -c "$command" <"$answers/in$number" >"$answers/out$number" &
done
wait
number=0
for command; do
  number=$((number + 1)); echo "$mark"; cat "$answers/out$number"
done
