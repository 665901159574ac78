#!/usr/bin/env bash
# ASK CONTAINER NOW SECONDS DISK LINKS STORE COUNT FOLDER... ADDRESS...: ask.py; the format of
# `docker inspect`; our clock; seconds for all addresses together; disk.sh and links.sh; the model
# store, or nothing; the number of folders. Standard input contains additional trusted certificates.

. files/daemon/engine.sh

exec 3<&0
ask=$1 container=$2 now=$3 seconds=$4 disk=$5 links=$6 store=$7 count=$8; shift 8
echo "clock $(($(date +%s) - now))"
while [ "$count" -gt 0 ]; do
  limited 20 sh -c "$disk" sh "$1"
  [ $? != 124 ] || echo "silent $1"
  shift; count=$((count - 1))
done
[ -z "$store" ] || limited 30 sh -c "$links" sh "$store" >"$answers/links" &

if command -v python3 >/dev/null && [ $# != 0 ]; then
  python3 -B -c "$ask" "$seconds" "$@" <&3 >"$answers/network" 2>/dev/null &
fi
timeout "$seconds" timedatectl show -p NTPSynchronized --value 2>/dev/null \
  | sed 's/^/synchronised /' >"$answers/time" &
if command -v docker >/dev/null; then
  if running=$(engine ps -q --no-trunc 2>/dev/null); then
    echo listed
    # shellcheck disable=SC2086 # a list, one word each
    [ -z "$running" ] || engine inspect -f "$container" $running 2>/dev/null
  fi >"$answers/containers" &
  engine info -f '{{if or .HTTPProxy .HTTPSProxy}}engine-proxied{{end}}' \
    >"$answers/engine" 2>/dev/null &
  engine version -f 'minimum-api {{.Server.MinAPIVersion}}' \
    >"$answers/api" 2>/dev/null &
fi
# shellcheck disable=SC2016 # a field of dpkg-query
echo "toolkit $(answered dpkg-query -W -f '${Version}' nvidia-container-toolkit \
  2>/dev/null)"
[ ! -e /usr/local/bin/ollama ] || echo "ollama $(readlink -f /usr/local/bin/ollama)"
wait
cat "$answers"/*
