#!/usr/bin/env bash
# KEY COUNT SECRET... PATH...: the state of each path; the digests of the first COUNT are keyed.
#
# %f is the raw mode in hexadecimal: type and permissions without words that would be translated.
# Names from a directory service contain spaces and backslashes, such as `domain users`, so they are
# enclosed in tabs.

key=$1 count=$2; shift 2
form=$'%f %u %g %.6Y\t%U\t%G\t%n'
planted() {
  local rest=$1 at='' name link steps=0
  while [ -n "$rest" ] && [ "$steps" -lt 40 ]; do
    name=${rest%%/*}; rest=${rest#"$name"}; rest=${rest#/}
    case $name in ''|.) continue ;; ..) at=${at%/*}; continue ;; esac
    at=$at/$name
    [ -L "$at" ] || continue
    steps=$((steps + 1))
    [ "$(stat -c %u -- "$at")" = 0 ] || { stat -c '%U %n' -- "$at"; return; }
    link=$(readlink -- "$at"); rest=$link/$rest
    case $link in /*) at= ;; *) at=${at%/*} ;; esac
  done
}
stat -c "path $form" -- "$@" 2>/dev/null
links=()
for path; do [ ! -L "$path" ] || links+=("$path"); done
[ "${#links[@]}" = 0 ] || stat -L -c "leads $form" -- "${links[@]}" 2>/dev/null
mapfile -t real < <(realpath -m -- "$@")
number=0
for path; do
  if [ "${real[number]}" != "$path" ]; then
    printf 'real %s\t%s\n' "${real[number]}" "$path"
    planted=$(planted "$path" 2>/dev/null)
    [ -z "$planted" ] || printf 'planted %s\t%s\n' "$planted" "$path"
  fi
  number=$((number + 1))
done
while [ "$count" -gt 0 ]; do
  count=$((count - 1))
  [ ! -f "$1" ] || printf 'digest %s  %s\n' \
    "$( { printf %s "$key"; cat -- "$1"; } | sha256sum | cut -d' ' -f1)" "$1"
  shift
done
[ $# = 0 ] || sha256sum -- "$@" 2>/dev/null | sed 's/^/digest /'
true
