#!/usr/bin/env bash
# each_file COMMAND...: runs the command for each file of apt's sources, in $file.
# encoded TEXT: in base64.
#
# apt-config knows the folders; in sources.list.d apt reads files with one of two endings and a
# plain name (apt-pkg/contrib/fileutl.cc, GetListOfFilesInDir).

eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d \
  architecture APT::Architecture 2>/dev/null)"
parts=${parts:-/etc/apt/sources.list.d/}
echo "architecture ${architecture:-$(dpkg --print-architecture 2>/dev/null)}"
each_file() {
  for file in "${list:-/etc/apt/sources.list}" "${parts%/}"/*.list "${parts%/}"/*.sources; do
    name=${file##*/}
    case $name in .*|*[!A-Za-z0-9._-]*) continue ;; esac
    [ ! -f "$file" ] || "$@"
  done
}
encoded() { printf %s "$1" | base64 -w0; }
