#!/usr/bin/env bash
# INFO CDI PROPERTIES UNLOADED SWARMS: two formats of `docker info`, properties of a unit, the notes
# about keys that are not loaded, and swarms.sh.
#
# Variables of the unit's command come from its files, which win, and from the unit itself, which
# quotes values with spaces, as xargs reads them.

. files/daemon/engine.sh
. files/daemon/process.sh

info=$1 cdi=$2 properties=$3 unloaded=$4 swarms=$5 values=
if command -v docker >/dev/null; then
  echo client
  engine info -f "$info" 2>/dev/null >"$answers/info" &
  engine info -f "$cdi" 2>/dev/null >"$answers/cdi" &
fi
[ -z "$pid" ] || echo "process $pid $inside"
[ -z "$arguments" ] || echo "arguments $arguments"
[ -z "$rootless" ] || echo "rootless $rootless"
echo "next $started"
shown=$(answered systemctl show --timestamp=unix -p "$properties" docker.service \
  2>/dev/null)
printf '%s\n' "$shown" | sed -n '/^Environment/!s/^/unit /p'
# shellcheck disable=SC2016 # names of variables in text
for name in $(printf %s "$started" | grep -oE '\$\{?\w+' | tr -d '${' | sort -u); do
  value=$(printf '%s\n' "$shown" | sed -n 's/^Environment=//p' \
    | xargs -n 1 printf '%s\n' 2>/dev/null | sed -n "s/^$name=//p" | tail -n 1)
  for file in $(printf '%s\n' "$shown" | sed -n 's/^EnvironmentFiles=\(.*\) (.*/\1/p')
  do
    last=$(sed -n "s/^[[:space:]]*$name=//p" "$file" 2>/dev/null | tail -n 1)
    [ -z "$last" ] || value=$last
  done
  echo "variable $name $(printf %s "$value" | base64 -w0)"
  values="$values$value"$'\n'
done
file=$(readlink -f -- "$configuration" || echo "$configuration")
echo "file $file"
if [ -f "$file" ]; then
  echo "changed $(stat -c %Y -- "$file")"
  echo "content $(base64 -w0 -- "$file")"
fi
[ ! -f "$unloaded" ] || echo "unloaded $(paste -sd ' ' "$unloaded")"
mapfile -t roots < <(
  printf '%s\n' "$started" "$words" "$values" | tr -d "\"'" \
    | grep -oE -- '(^|--data-root|--graph|-g)[= ]*/[^[:space:]]*' | sed 's/^[^/]*//'
  [ ! -f "$file" ] || tr -d '\0' <"$file" | tr '\n' ' ' \
    | grep -aoE '"data-root"[[:space:]]*:[[:space:]]*"/[^"]*"' | sed 's/.*"\(.*\)"/\1/'
  echo /var/lib/docker
)
limited 20 bash -c "$swarms" bash "${roots[@]}"
[ $? != 124 ] || { echo "Docker's data folder does not respond" >&2; exit 1; }
[ "$(cat /proc/sys/net/ipv4/ip_forward 2>/dev/null)" != 1 ] || echo forwarding
if { cat "$file"; printf '%s' "$arguments" | base64 -d; } 2>/dev/null \
  | grep -aqE 'ip-?(tables|-masq)'; then
  { iptables-save -t nat; nft list ruleset; } 2>/dev/null \
    | grep -qi masquerade && echo masquerading
fi
wait
cat "$answers"/* 2>/dev/null
true
