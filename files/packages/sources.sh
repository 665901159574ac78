#!/usr/bin/env bash
# The files that apt reads, why it reads none of them, and the proxies that it uses.

. files/shell/limited.sh
. files/packages/source_files.sh

command -v apt-get >/dev/null || exit 0
told() { echo "file $(encoded "$file") $(base64 -w0 "$file")"; }
each_file told
limited 60 apt-get -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
  indextargets --format x 2>&1 >/dev/null \
  | sed -n 's/^E: */refused /p'
eval "$(apt-config shell etc Dir::Etc/d 2>/dev/null)"
etc=${etc:-/etc/apt/}
apt-config dump 2>/dev/null \
  | sed -n 's/^Acquire::[a-z:]*::[Pp]roxy\(::.*\)* "\([^"]*:.*\)";$/\2/p' | sort -u \
  | while IFS= read -r address; do
    # Not as an argument, which everybody can read, because it may contain a password.
    file=$(grep -lsF -f <(printf '%s\n' "$address") -- \
      "$etc"apt.conf "$etc"apt.conf.d/* | head -n 1)
    echo "proxy $address $file"
  done
