#!/bin/sh
# update: fetches the package lists. The including script decides by the time of $stamp whether they
# are recent enough.
#
# Lists from before this boot may be truncated by a power cut. apt does not notice: it compares the
# old Release file with the new one, and without one asks the server whether a list has changed
# since, which it has not. So they are all moved away and fetched again; ours are flushed, for the
# next user of apt. A source that cannot be updated gets its old lists back, unless apt cannot read
# them.
#
# apt waits for another process's lock of dpkg, but not for that of the lists. And it may wait
# forever for a server (2.6: one that refuses, next to a second source on the same host).

. files/packages/apt.sh

stamp=/run/ai-workstation.apt.failures-updated
aside=${lists%/}.ai-workstation
# shellcheck disable=SC2086 # the words of a command
fetch() {
  echo "fetching package lists"
  timeout -k 60 1200 $apt $servers update
  [ $? != 124 ] || echo "apt: apt-get update did not end within 20 minutes"
}
# shellcheck disable=SC2086 # apt's lists have no blanks in their names
update() {
  if [ ! -e "$stamp" ]; then
    mkdir -p "$aside"
    find "$lists" -maxdepth 1 -type f ! -name lock -exec mv -f -t "$aside" -- {} +
    rm -f "$lists"partial/*
  fi
  tries=120
  while fetch 2>&1 | tee "$log"; grep -q '^E: Could not get lock' "$log" && [ "$tries" -gt 0 ]; do
    sleep 5; tries=$((tries - 1))
  done
  for file in "$lists"*Release; do
    name=${file##*/}; name=${name%Release}
    rm -f "$aside/${name%In}"*
  done
  restored=
  for file in "$aside"/*; do
    [ -e "$file" ] && [ ! -e "$lists${file##*/}" ] || continue
    mv "$file" "$lists"
    restored="$restored $lists${file##*/}"
  done
  rm -rf "$aside"
  [ -z "$restored" ] || apt-cache gencaches >/dev/null 2>&1 || rm -f $restored
  sync -f "$lists"
  touch "$stamp"
}
