#!/bin/sh
# MARK IMAGE...: pulls those that are missing or may be damaged.
#
# Images that an earlier boot left in progress (at_work.sh) are pulled again. If that pull found
# layers already there, it only restored the image's name, by which it is then removed to be
# pulled once more. Images that containers were created from are complete: containers are only
# created from flushed images, so that pull was merely interrupted. With containerd's image store,
# leases of pulls are released first and removed with the images, so that no old layers are found.

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
