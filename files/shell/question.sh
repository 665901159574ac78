#!/usr/bin/env bash
# The frame of every question: MARK LIMIT SCRIPT NAME VALUES... The answer is enclosed in two marks.
#
# The script runs as a separate process: if something hangs where no signal reaches it (a hung
# driver, a file server that is gone), it holds no pipe of ours and is left behind when the time is
# up. timeout(1) alone would wait for it. A login script may have left its line unfinished, such as
# one that sets a title. While all processors are busy, with a training or a build, everything may
# take $AI_WORKSTATION_PATIENCE times as long; tests set it.

mark=$1 limit=$2; shift 2
PATH=$PATH:/usr/sbin:/sbin; export PATH
answers=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit 1
trap 'rm -rf "$answers"' EXIT
IFS=. read -r load _ </proc/loadavg
[ "${load:-0}" -lt "$(nproc)" ] || : "${AI_WORKSTATION_PATIENCE:=4}"
export answers AI_WORKSTATION_PATIENCE="${AI_WORKSTATION_PATIENCE:-1}"
limit=$((limit * AI_WORKSTATION_PATIENCE))
exec 3<&0
IFS= read -r -t $((limit + 10)) status < <(
  exec 2>"$answers/.err"
  timeout -k 5 "$limit" bash -c "$@" <&3 3<&- >"$answers/.out"; echo $?
) || status=124
printf "\n%s\n" "$mark"
cat "$answers/.out"
if [ -s "$answers/.hung" ]; then
  printf "\n%s hung\n" "$mark"; head -n 1 "$answers/.hung"; exit 0
fi
printf "\n%s %s\n" "$mark" "$status"
[ "$status" = 0 ] || tail -n 3 "$answers/.err"
