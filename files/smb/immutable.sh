#!/bin/sh
# TARGET: makes the folder under the mount immutable.
#
# Beside what is mounted on the folder, it is reached in a mount namespace of its own. A file system
# that knows no such flag has none to set.

beside=$(mktemp -d) || exit 1
# shellcheck disable=SC2016 # for the shell in the namespace
unshare -m sh -c '
  above=${1%/*}
  mount --bind -- "${above:-/}" "$2" || exit 1
  cd -- "$2/${1##*/}" || exit 1
  lsattr -d . >/dev/null 2>&1 || exit 0
  chattr +i .' sh "$1" "$beside"; status=$?
rmdir "$beside"
exit $status
