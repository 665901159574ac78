#!/bin/sh
# RELEASE BINARY LIBRARIES: makes the binary that of a release. BINARY and LIBRARIES: suffixes for
# the names of a replaced binary and its libraries, empty if there are none.
#
# A rename replaces a binary or an older link in one step. A replaced binary and its libraries are
# kept: they may be somebody's own build. The link comes last, so that an interrupted run is
# repeated; otherwise libraries next to our link would stay.

set -e
mkdir -p /usr/local/bin
[ -z "$2" ] || cp -al --backup=numbered -T /usr/local/bin/ollama "/usr/local/bin/ollama.$2"
ln -sfn "$1/bin/ollama" /usr/local/bin/.ollama.new
[ -z "$3" ] || mv --backup=numbered -T /usr/local/lib/ollama "/usr/local/lib/ollama.$3"
mv -fT /usr/local/bin/.ollama.new /usr/local/bin/ollama
