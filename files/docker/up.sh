#!/bin/sh
# PROJECT SECONDS FOLDER KEPT: brings a stack up, or rolls it back to the kept version.
#
# Standard input is the Compose file. A version that became healthy is kept at once, to compare the
# next change with and to roll back to; secrets are not kept. If the new version does not become
# healthy, the kept one replaces it. Its images still exist: they are only pruned after a success.

. files/docker/healthy.sh
. files/docker/bring_up.sh

name=$1 most=$2 folder=$3 kept=$4
mkdir -p "${kept%/*/*}"
umask 077
mkdir -p "${kept%/*}"
cat >"$kept.new"
if up && healthy "$name" "$most"; then
  set -e
  tar -cf "$kept.tar.new" -C "$folder" --exclude=./.env --exclude=./secrets \
    --exclude='*.before-ai-workstation' .
  sync "$kept.tar.new" "$kept.new"
  mv "$kept.tar.new" "$kept.tar"
  mv "$kept.new" "$kept.yaml"
  exit
fi
rm "$kept.new"
[ -f "$kept.tar" ] || exit 1
! tar -df "$kept.tar" -C "$folder" >/dev/null 2>&1 || exit 1
echo "rolling back $name to the version before this run" >&2
tar -xf "$kept.tar" -C "$folder"
if up && healthy "$name" "$most"; then
  echo "$name runs as before this run; see above for what failed" >&2
else
  echo "$name does not become healthy with the previous version either" >&2
fi
exit 1
