#!/bin/sh
# PROJECT SECONDS FOLDER KEPT: brings a stack up, or back to what is kept.
#
# Standard input is the Compose file. What became healthy is kept at once, to tell the next change
# by and to go back to; secrets are not. What does not become healthy gives way to what is kept,
# whose images are still there: they are pruned only after a success.

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
