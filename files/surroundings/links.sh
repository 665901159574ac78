#!/bin/sh
# STORE: its real path, and the links that lead out of it.
#
# Links that are absolute, or whose dots lead out of the store. People create them for folders and
# for single files. A line break in a name would look like another link.

root=$(realpath -e -- "$1" 2>/dev/null) || exit 0
echo "store $root"
find "$root" -xdev -maxdepth 4 -type l -printf '%P\t%l\0' 2>/dev/null | tr '\n\0' '?\n' | awk -F '\t' '
  NF != 2 {next}
  {leads = substr($2, 1, 1) == "/"; depth = split($1, part, "/") - 1; count = split($2, part, "/")}
  {for (i = 1; i <= count; i++)
    if (part[i] == "..") {if (--depth < 0) leads = 1}
    else if (part[i] != "" && part[i] != ".") depth++}
  leads {print "link " $0}' | head -n 200
