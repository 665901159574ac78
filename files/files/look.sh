#!/usr/bin/env bash
# KEY COUNT SECRET... PATH...: the state of each path; the digests of the first COUNT are keyed.
#
# %f is the raw mode in hexadecimal: type and permissions without words that would be translated.
# Names from a directory service contain spaces and backslashes, such as `domain users`, so they are
# enclosed in tabs. A link's target may contain tabs and line breaks.
#
# Whoever may write to a folder can swap the links in it: between two looks, a link of root's may
# stand for hers. So each link is read once, and in such a folder one of root's only counts if it
# was in place all the time: a rename sets its ctime.

key=$1 count=$2; shift 2
form=$'%f %u %g %.6Y\t%U\t%G\t%n'
began=$(date +%s)
is_roots() {
  local owner mode changed folder=${1%/*}
  read -r owner changed < <(stat -c '%u %Z' -- "$1")
  [ "$owner" = 0 ] || return 1
  read -r owner mode < <(stat -c '%u %a' -- "${folder:-/}")
  [ "$owner" = 0 ] && [ $((8#$mode & 8#22)) = 0 ] || [ "$changed" -lt $((began - 1)) ]
}
resolve() {
  local rest=$1 name link steps=0
  real='' planted=''
  while [ -n "$rest" ]; do
    name=${rest%%/*}; rest=${rest#"$name"}; rest=${rest#/}
    case $name in ''|.) continue ;; ..) real=${real%/*}; continue ;; esac
    if [ ! -L "$real/$name" ] || [ "$steps" -ge 40 ]; then real=$real/$name; continue; fi
    steps=$((steps + 1))
    link=$(readlink -n -- "$real/$name"; echo .); link=${link%.}
    [ -n "$planted" ] || is_roots "$real/$name" || planted=$(stat -c '%U %n' -- "$real/$name")
    rest=$link/$rest
    case $link in /*) real= ;; esac
  done
  real=${real:-/}
}
one_line() { local text=${1//$'\n'/\\n}; printf %s "${text//$'\t'/\\t}"; }
stat -c "path $form" -- "$@" 2>/dev/null
links=()
for path; do [ ! -L "$path" ] || links+=("$path"); done
[ "${#links[@]}" = 0 ] || stat -L -c "leads $form" -- "${links[@]}" 2>/dev/null
for path; do
  resolve "$path"
  [ "$real" != "$path" ] || continue
  printf 'real %s\t%s\n' "$(one_line "$real")" "$path"
  [ -z "$planted" ] || printf 'planted %s\t%s\n' "$(one_line "$planted")" "$path"
done
while [ "$count" -gt 0 ]; do
  count=$((count - 1))
  [ ! -f "$1" ] || printf 'digest %s  %s\n' \
    "$( { printf %s "$key"; cat -- "$1"; } | sha256sum | cut -d' ' -f1)" "$1"
  shift
done
[ $# = 0 ] || sha256sum -- "$@" 2>/dev/null | sed 's/^/digest /'
true
