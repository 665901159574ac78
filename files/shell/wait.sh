#!/bin/sh
# wait_until TRIES PAUSE COMMAND...: repeats a command until it succeeds, at most TRIES times, PAUSE
# seconds apart.
# wait_telling COMMAND...: waits for the last background process ($!), and runs a command every five
# seconds, with the elapsed time in $seconds. Returns the status of the process.

wait_until() {
  tries=$1 pause=$2; shift 2
  until "$@"; do
    [ "$tries" -gt 0 ] || return 1
    sleep "$pause"; tries=$((tries - 1))
  done
}
wait_telling() {
  process=$! seconds=0
  while kill -0 "$process" 2>/dev/null; do
    sleep 1; seconds=$((seconds + 1))
    [ $((seconds % 5)) != 0 ] || "$@"
  done
  wait "$process"
}
