#!/bin/sh
# PATH MODE OWNER: gives a file its owner and mode. The path is a real one.
#
# The file is opened without following a link, so it cannot be exchanged for another file afterward.
# Its owner comes first: chown clears the setgid bit, and the old owner may still read a secret.

. files/shell/enter.sh

set -e
enter "$(dirname -- "$1")"
perl -MFcntl -e '
  sysopen STDIN, shift, O_RDONLY | O_NOFOLLOW | O_NONBLOCK or die "$!\n";
  exec @ARGV or die "$!\n"' "./$(basename -- "$1")" \
  sh -c 'chown -- "$2" /proc/self/fd/0 && chmod -- "$1" /proc/self/fd/0' sh "$2" "$3"
