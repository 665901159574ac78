#!/usr/bin/env bash
# PROJECT FOLDER APPLIED BUILDING PULLING INSPECT IMAGE REFERENCE...: the project and its folder;
# where applied files and marks of images in progress are kept; formats of `docker inspect` and
# `docker image inspect`; the images to look up. The Compose file is on standard input.
#
# Programs that may hang do not get our standard input, so Compose's is a file.

. files/daemon/engine.sh
. files/docker/at_work.sh

command -v docker >/dev/null || exit 0
cat >"$answers/.compose.yaml"
project=$1 folder=$2 applied=$3 building=$4 pulling=$5 inspect=$6 image=$7; shift 7
# shellcheck disable=SC2016 # for the shell that it starts
limited 60 sh -c 'exec docker compose "$@" 2>&1 <"$0"' "$answers/.compose.yaml" \
  -p "$project" --project-directory "$folder" -f - config --hash '*' \
  | sed 's/^/hash /' >"$answers/hashes" &
engine image inspect -f "$image" -- "$@" 2>/dev/null \
  | sed -n '/./s/^/image /p' >"$answers/images" &
found=$(engine ps -aq --no-trunc --filter "label=com.docker.compose.project=$project" \
  2>/dev/null) || { wait; cat "$answers/wedged" 2>/dev/null; exit 0; }
echo docker
# shellcheck disable=SC2086 # a list, one word each
[ -z "$found" ] || engine inspect -f "$inspect" $found
wait
cat "$answers"/*
stat -c 'secret %.6Y %n' -- "$folder"/secrets/* 2>/dev/null
file=$applied/$project.yaml
[ ! -f "$file" ] || echo "applied $(base64 -w0 "$file")"
for mark in "$building" "$pulling"; do
  [ ! -f "$mark" ] || awk '{print "unsettled", $NF}' "$mark"
done
mark=$building
[ -z "$(left)" ] || echo "cut-off $(left_since)"
