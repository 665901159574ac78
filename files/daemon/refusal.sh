#!/usr/bin/env bash
# DOCKERD ARGUMENT...: validates the configuration on standard input, which is in base64.

. files/shell/limited.sh

program=$1; shift
command -v "$program" >/dev/null || exit 0
base64 -d >"$answers/daemon.json"
limited 60 sh -c '"$@" 2>&1; echo "status $?"' sh "$program" "$@" \
  --validate --config-file "$answers/daemon.json"
