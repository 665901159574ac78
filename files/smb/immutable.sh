#!/bin/sh
# TARGET: makes the folder under the mount immutable.
#
# It is reached in a separate mount namespace, regardless of what is mounted on it. A file system
# without that flag is left as it is.

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
