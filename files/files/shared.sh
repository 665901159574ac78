#!/bin/sh
# FOLDER GROUP: gives everything below the folder to the group. The folder is a real path.
#
# Anyone who may write to the folder could replace an entry by a link after find has seen it. So
# find itself enters each folder and checks for links on the way, and the entry is opened without
# following one. Where the kernel lets anyone link to any file (fs.protected_hardlinks), a file with
# several names may be somebody else's, such as /etc/shadow, and is left alone. Files lose setuid
# and setgid: they would be those of another group. perl-base is part of every Debian and Ubuntu.

. files/files/several.sh
. files/shell/enter.sh

enter "$1" || exit 1
# shellcheck disable=SC2046 # none or two words
find . -xdev -ignore_readdir_race \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f $(several) \( ! -group "$2" -o ! -perm -040 \) \) -execdir perl -e '
  use Fcntl; use Errno;
  my ($group, $alone) = (scalar getgrnam(shift), shift);
  for my $name (@ARGV) {
    sysopen(my $entry, $name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      or $!{ENOENT} || $!{ELOOP} || $!{ENXIO} ? next : die "$name: $!\n";
    my @found = stat $entry;
    next unless -d _ || -f _;
    my ($kept, $bits) = -d _ ? (07777, 02070) : (0777, 0040);
    # Compared by name too: another name of the file could be removed just before stat.
    my @named = lstat $name;
    next if $alone && -f _ && ($named[3] != 1 || "@named[0, 1]" ne "@found[0, 1]");
    $found[5] == $group or chown -1, $group, $entry or die "$name: $!\n";
    chmod $found[2] & $kept | $bits, $entry or die "$name: $!\n";
  }' "$2" "$(several)" {} +
