#!/bin/sh
# MARK WHAT IMAGES [ATTESTATION...]: builds the Bake file on standard input. WHAT: names of the
# services; IMAGES: the references to build, in one word; attestations: options of bake.
#
# Plain progress prints a line per step, which suits a log as well as a screen. Attestations need
# containerd's image store (docs.docker.com/build/metadata/attestations). Since 0.19 Buildx refuses
# to read files outside the working folder (docker/buildx#2796); here everything is inside.
#
# If an earlier boot left images in progress (at_work.sh), BuildKit's cache since then cannot be
# trusted, and neither can these images, unless containers were created from them, as after a build
# that was merely interrupted; nor can images of ours that have lost their name. Older cache of
# others stays. A cache record can only be removed after those that were made from it.

. files/docker/at_work.sh
. files/docker/flush.sh
. files/docker/release.sh

mark=$1 what=$2 images=$3; shift 3
cached_since() {
  cache=$(curl -fsS --noproxy '*' --unix-socket /var/run/docker.sock \
    'http://docker/v1.44/system/df?type=build-cache') || return 1
  printf '%s\n' "$cache" | sed 's/{"ID":/\n&/g' |
    sed -En 's/^.*"ID":"([^"]*)".*"CreatedAt":"([^"]*)".*"LastUsedAt":"?([^",]*).*/\1 \2 \3/p' |
    awk -v since="$1" '$2 >= since || ($3 != "null" && $3 >= since) {print $1}'
}
forget_cache() {
  [ -n "$1" ] || { docker buildx prune --builder default -af >/dev/null; return; }
  before=
  while left=$(cached_since "$1") || return 1; [ -n "$left" ] && [ "$left" != "$before" ]; do
    before=$left
    for record in $left; do
      docker buildx prune --builder default -af --filter "id=$record" >/dev/null || return 1
    done
  done
}
left=$(left)
if [ -n "$left" ]; then
  began=$(left_since)
  echo "the machine went down during a build: removing images and cache${began:+ since $began}"
  ! with_containerd || release
  nameless="--no-trunc --filter dangling=true --filter label=workstation.inputs"
  # shellcheck disable=SC2086 # a list, one word each
  for image in $left $(docker image ls -aq $nameless); do
    docker image inspect "$image" >/dev/null 2>&1 || continue
    [ -z "$(docker ps -aq --filter "ancestor=$image")" ] || continue
    docker image rm -f "$image" >/dev/null || exit 1
  done
  forget_cache "$began" || {
    echo "the build cache cannot be removed, see above, and the power cut may have damaged it:" \
      "run again; if that does not help, \`docker buildx prune -af && rm $mark\`" >&2
    exit 1
  }
  rm "$mark"
fi
# shellcheck disable=SC2086 # a list, one word each
at_work $images
with_containerd || set --
cd /
docker buildx bake --builder default --progress plain -f - "$@" 2>&1; status=$?
flush && rm "$mark" || exit 1
[ "$status" = 0 ] || {
  echo "$what could not be built, see above; running services were not changed" >&2
  exit 1
}
