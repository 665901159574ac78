#!/bin/sh
# TARGET: makes the folder under the mount immutable.
#
# It is reached in a separate mount namespace, regardless of what is mounted on it. A file system
# without that flag is left as it is. mount(8) is given the current folder, not its name, which
# somebody could lead elsewhere.

. files/shell/enter.sh

enter "$(dirname -- "$1")" || exit 1
beside=$(mktemp -d) || exit 1
# shellcheck disable=SC2016 # for the shell in the namespace
unshare -m sh -c '
  mount --no-canonicalize --bind . "$2" && cd -P -- "$2" && above=$PWD || exit 1
  cd -P -- "./${1##*/}" || exit 1
  [ "$PWD" = "$above/${1##*/}" ] || { echo "$1 is a link" >&2; exit 1; }
  lsattr -d . >/dev/null 2>&1 || exit 0
  chattr +i .' sh "$1" "$beside"; status=$?
rmdir "$beside"
exit $status
