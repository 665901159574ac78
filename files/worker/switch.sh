#!/bin/sh
# RELEASES NEW OLD: folder, and the names of releases in it.
#
# A rename replaces the link in one step. The previous release is kept for a rollback.

set -e
cd "$1"
ln -sfn "$2" .current.new
mv -fT .current.new current
for release in *; do
  case $release in "$2"|"$3"|current) ;; *) rm -rf -- "$release" ;; esac
done
