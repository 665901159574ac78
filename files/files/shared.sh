#!/bin/sh
# FOLDER GROUP: gives everything below the folder to the group.
#
# Anyone who may write to the folder could replace an entry by a link after find has seen it. So
# find itself enters each folder and checks for links on the way, and the entry is opened without
# following one. perl-base is part of every Debian and Ubuntu.

root=$(realpath -e -- "$1") || exit 1
find "$root" -xdev -ignore_readdir_race \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f \( ! -group "$2" -o ! -perm -040 \) \) -execdir perl -e '
  use Fcntl; use Errno;
  my $group = getgrnam(shift);
  for my $name (@ARGV) {
    sysopen(my $entry, $name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      or $!{ENOENT} || $!{ELOOP} ? next : die "$name: $!\n";
    my @found = stat $entry;
    my $bits = -d _ ? 02070 : 0040;
    $found[5] == $group or chown -1, $group, $entry or die "$name: $!\n";
    chmod $found[2] & 07777 | $bits, $entry or die "$name: $!\n";
  }' "$2" {} +
