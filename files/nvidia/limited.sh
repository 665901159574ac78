#!/bin/sh
# limited SECONDS COMMAND...: runs a program that may hang; returns 124 when its time is up.
#
# nvidia-smi has another path under WSL, and if the driver was installed as an image. A process that
# waits for a hung card ignores signals, so it holds no pipe of ours and is left behind.

. files/shell/wait.sh

PATH=$PATH:/usr/sbin:/sbin:/usr/lib/wsl/lib:/usr/local/nvidia/bin; export PATH
limited() {
  limit=$1 status=124; shift
  answer=$(mktemp -d) || return 1
  ( timeout -k 5 "$limit" "$@" >"$answer/said" 2>&1 </dev/null
    echo $? >"$answer/new"; mv "$answer/new" "$answer/status" ) >/dev/null 2>&1 &
  ! wait_until $(((limit + 7) * 5)) 0.2 [ -e "$answer/status" ] || read -r status <"$answer/status"
  cat "$answer/said"
  rm -rf "$answer"
  [ "$status" != 137 ] || status=124
  return "$status"
}
