#!/usr/bin/env bash
# COUNT PROPERTIES UNIT... UNIT=FILE...: number of units; properties that systemd shows of them;
# further files that they read.

. files/shell/limited.sh

count=$1; properties=$2; shift 2
units=; while [ "$count" -gt 0 ]; do
  units="$units $1"; count=$((count - 1)); shift
done
# shellcheck disable=SC2086 # a list, one word each
shown=$(answered systemctl show --timestamp=us+utc -p "$properties" -- $units)
printf '%s\n' "$shown" | sed 's/^/unit /'
paths=$(printf '%s\n' "$shown" | sed -n 's/^FragmentPath=//p; s/^DropInPaths=//p')
for pair; do echo "reads $pair"; paths="$paths ${pair#*=}"; done
# shellcheck disable=SC2086 # a list, one word each
stat -c 'file %.6Y %n' -- $paths 2>/dev/null
true
