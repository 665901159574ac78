#!/bin/sh
# RELEASE BINARY LIBRARIES: has the binary be that of a release; what ends the names of a binary and
# of libraries that give way, nothing where there are none.
#
# A rename replaces a binary or an older link in one step. A binary, and its libraries, are kept: it
# may be install.sh's, which can be had again, or somebody's own build. The link comes last: a run
# that ends before is repeated, and libraries beside a link of ours would stay.

set -e
mkdir -p /usr/local/bin
[ -z "$2" ] || cp -al --backup=numbered -T /usr/local/bin/ollama "/usr/local/bin/ollama.$2"
ln -sfn "$1/bin/ollama" /usr/local/bin/.ollama.new
[ -z "$3" ] || mv --backup=numbered -T /usr/local/lib/ollama "/usr/local/lib/ollama.$3"
mv -fT /usr/local/bin/.ollama.new /usr/local/bin/ollama
