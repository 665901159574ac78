#!/bin/sh
# OPTION... -NAME... PACKAGE...: options for apt; each package that may be removed, or a pattern;
# packages to install, as NAME or NAME=VERSION.
#
# If apt refuses because an interrupted dpkg, as after a power cut, left packages half installed,
# dpkg finishes them first; apt solves those that dpkg cannot finish because they wait for a package
# that was never unpacked. Only after a first try: until another apt is done, which ours waits for,
# everything looks half installed.
#
# apt removes conflicting packages without asking, so only those named in the plan may be removed. A
# mirror that is being updated, or a server that was down, may work a moment later.
#
# Package lists younger than an hour are used, unless a source was added since or they do not
# suffice.

. files/packages/update.sh

options='' removable=''
while :; do
  case $1 in
    --*) options="$options $1" ;;
    -*) removable="$removable ${1#-}" ;;
    *) break ;;
  esac
  shift
done
spared() {
  set -f
  for name in $(printf '%s\n' "$1" | sed -n 's/^\(Remv\|Purg\) \([^ ]*\).*/\2/p'); do
    # shellcheck disable=SC2254 # patterns they are
    for pattern in $removable; do case $name in $pattern) continue 2 ;; esac; done
    printf '%s ' "$name"
  done
  set +f
}
# shellcheck disable=SC2086 # the words of a command
get() {
  set -- install -y --no-install-recommends --allow-downgrades $options "$@"
  seen=$($apt -s "$@") || { status=$?; printf '%s\n' "$seen"; return "$status"; }
  spared=$(spared "$seen")
  if [ -n "$spared" ]; then
    echo "apt: it would remove ${spared% }"
    return 1
  fi
  $apt "$@"
}
install() {
  get -- "$@" && return; status=$?
  ! $apt check >/dev/null 2>&1 || return "$status"
  echo "finishing what dpkg was interrupted over"
  dpkg --force-confdef --force-confold --configure -a || true
  get --fix-broken -- "$@"
}
try() {
  { install "$@"; echo $? >"$log.status"; } 2>&1 | tee -a "$log"
  read -r status <"$log.status"
  return "$status"
}
trap 'rm -f "$log" "$log.status"' EXIT
if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] \
  && [ -z "$(find "${etc:-/etc/apt}" -newer "$stamp" -print -quit)" ]; then
  try "$@" && exit
fi
for pause in 15 30 ""; do
  begun=$(date +%s)
  update
  try "$@" && exit
  [ -n "$pause" ] && [ $(($(date +%s) - begun)) -lt 120 ] || break
  grep -Eq 'Failed to fetch|Hash Sum mismatch|unexpected size' "$log" || break
  echo "trying again in $pause seconds"
  sleep "$pause"
done
exit "$status"
