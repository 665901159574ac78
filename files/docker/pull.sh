#!/bin/sh
# MARK IMAGE...: pulls those that are missing, or may be damaged.
#
# What another boot left at work (at_work.sh) is pulled anew; a pull that found something of it
# already there only gave it a name again, by which it is removed and pulled once more. What
# containers are made of is whole: they are only made of what was flushed, so that pull was merely
# ended. With containerd's image store, what a pull holds is released first and goes with the
# images: then nothing of it is there to be found.

. files/docker/at_work.sh
. files/docker/flush.sh
. files/docker/release.sh
. files/shell/wait.sh

mark=$1; shift
reused=$(mktemp); trap 'rm -f "$reused"' EXIT
export reused
id() { docker image inspect -f '{{.Id}}' "$1" 2>/dev/null; }
left=$(left)
is_left() { printf '%s\n' "$left" | grep -qxF -e "$1"; }
pull() {
  # shellcheck disable=SC2016 # for the shell that xargs starts
  printf '%s\n' "$@" | xargs -P 4 -n 1 sh -c '
    said=$(docker pull "$1") || { echo "$1 cannot be pulled" >&2; exit 255; }
    echo "pulled $1"
    case $said in *"Already exists"*) ;; *"Pull complete"*) exit ;; esac
    echo "$1" >>"$reused"' sh &
  wait_telling pulling
}
# shellcheck disable=SC2329 # wait_telling calls it
pulling() { echo "pulling, $seconds s"; }
missing='' doubtful='' found=
[ -z "$left" ] || ! with_containerd || release
for image in "$@"; do
  found=$(id "$image")
  if is_left "$image" && { [ -z "$found" ] || [ -z "$(docker ps -aq --filter "ancestor=$found")" ]; }
  then
    doubtful="$doubtful $image"
    [ -z "$found" ] || docker image rm -f "$found" >/dev/null || exit 1
    found=
  fi
  [ -n "$found" ] || missing="$missing $image"
done
at_work "$@"
[ -z "$doubtful" ] || echo "the machine went down during a pull; pulling again:$doubtful"
status=0
# shellcheck disable=SC2086 # a list, one word each
[ -z "$missing" ] || pull $missing || status=$?
if [ "$status" = 0 ] && [ -n "$doubtful" ] && [ -s "$reused" ] && ! with_containerd; then
  echo "some layers were already there and may be damaged: pulling once more"
  for image in $doubtful; do docker image rm -f "$(id "$image")" >/dev/null || exit 1; done
  # shellcheck disable=SC2086 # a list, one word each
  pull $doubtful || status=$?
fi
flush || exit 1
printf '%s\n' "$@" \
  | awk 'NR == FNR {ours[$1]; next} $1 != boot && !($NF in ours)' boot="$boot" - "$mark" \
  >"$mark.new" || exit 1
sync "$mark.new"
mv "$mark.new" "$mark"
[ -s "$mark" ] || rm "$mark"
exit "$status"
