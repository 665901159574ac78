#!/usr/bin/env bash
# Functions for questions. $answers, of the frame (question.sh): a folder for commands that run side
# by side, in memory and gone afterwards.
#
# limited SECONDS COMMAND...: runs a program that may hang; status 124 when its time is up.
# answered COMMAND...: the same for one without which there is no answer: the question fails and
# names it. What else it runs by `answered` is not waited for then.

: "${answers:?}"
limited() {
  local limit=$1 out status; shift
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
