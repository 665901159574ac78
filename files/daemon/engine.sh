#!/usr/bin/env bash
# engine COMMAND...: queries Docker. If it takes too long, the word `wedged` is added to the
# answers.

. files/shell/limited.sh

engine() {
  limited 60 docker "$@"; local status=$?
  [ "$status" != 124 ] || echo "wedged docker $1" >"$answers/wedged"
  return "$status"
}
