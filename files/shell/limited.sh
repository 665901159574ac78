#!/usr/bin/env bash
# Functions for questions. $answers, from the frame (question.sh): a temporary folder in memory for
# commands that run in parallel.
#
# limited SECONDS COMMAND...: runs a program that may hang; returns 124 when its time is up, which
# is longer while all processors are busy (question.sh).
# answered COMMAND...: the same for a program whose answer is required: without it the question
# fails and names the program. Others started with `answered` are then no longer waited for.

: "${answers:?}"
limited() {
  local limit=$(($1 * ${AI_WORKSTATION_PATIENCE:-1})) out status; shift
  out=$(mktemp "$answers/.XXXXXX") || return 1
  IFS= read -r -t $((limit + 7)) status < <(
    timeout -k 5 "$limit" "$@" </dev/null >"$out"; echo $?
  ) || status=124
  cat "$out"; rm -f "$out"
  [ "$status" != 137 ] || status=124
  return "$status"
}
answered() {
  [ ! -s "$answers/.hung" ] || return 124
  limited 60 "$@"; local status=$?
  [ "$status" != 124 ] || echo "${1##*/} $2" >>"$answers/.hung"
  return "$status"
}
