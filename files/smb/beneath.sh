#!/bin/sh
# TARGET BESIDE: what is under the mount; an empty folder to view it in.
#
# This looks under the mounts in a separate mount namespace: a read-only bind mount of the folder
# above shows what is there without anything mounted on it. A mount that does not respond (server
# gone, automounter dead) must not hang the fact, so nothing here accesses the share.

above=${1%/*} name=${1##*/}
mount -o bind,ro -- "${above:-/}" "$2" || exit 0
if [ -L "$2/$name" ]; then echo "real $(readlink -m -- "$1")"; exit; fi
cd -- "$2/$name" 2>/dev/null || exit 0
echo folder
# shellcheck disable=SC2012 # lines are counted
echo "hidden $(ls -A | wc -l)"
flags=$(lsattr -d . 2>/dev/null) || { echo flagless; exit; }
case ${flags%% *} in *i*) echo immutable ;; esac
