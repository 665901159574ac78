#!/bin/sh
# TARGET BESIDE: what lies under the mount; an empty folder to see it in.
#
# Looking under the mounts happens in a mount namespace of its own, beside them: a bind mount of the
# folder above, for reading, shows what lies there without anything that is mounted on it. A mount
# that does not answer (server gone, automounter dead) must not hang the fact: nothing here looks
# into the share.

above=${1%/*} name=${1##*/}
mount -o bind,ro -- "${above:-/}" "$2" || exit 0
if [ -L "$2/$name" ]; then echo "real $(readlink -m -- "$1")"; exit; fi
cd -- "$2/$name" 2>/dev/null || exit 0
echo folder
# shellcheck disable=SC2012 # lines are counted
echo "hidden $(ls -A | wc -l)"
flags=$(lsattr -d . 2>/dev/null) || { echo flagless; exit; }
case ${flags%% *} in *i*) echo immutable ;; esac
