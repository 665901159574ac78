#!/usr/bin/env bash
# VERSIONS BRIDGE: formats of `docker version` and `docker network inspect`.
#
# Each of Docker's programs takes a while to start, so they run in parallel.

. files/daemon/engine.sh
. files/daemon/process.sh

[ ! -f "$configuration" ] || echo "daemon $(base64 -w0 "$configuration")"
# shellcheck disable=SC2016 # fields of dpkg-query
answered dpkg-query -W -f '${db:Status-Status}\n' docker-desktop 2>/dev/null \
  | sed -n 's/^installed$/desktop/p'
client=$(command -v docker)
dockerd=$(command -v dockerd)
[ -n "$client$dockerd" ] || exit 0
answered dpkg-query -S "$(readlink -f "${dockerd:-$client}")" 2>/dev/null \
  | sed -n 's/^\([a-z0-9][a-z0-9.+-]*\)\(:[a-z0-9]*\)\?[:,] .*/package \1/p' \
  >"$answers/package" &
[ -n "$client" ] || { wait; cat "$answers/package"; exit 0; }
[ -n "$dockerd" ] || echo without_daemon
case $(readlink -f "$client") in *snap*) echo snap ;; esac
case $(limited 60 docker --version 2>/dev/null) in *[Pp]odman*) echo podman ;; esac
# shellcheck disable=SC2016 # fields of dpkg-query
echo "unfinished $(answered dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
  'docker*' 'containerd*' runc 2>/dev/null \
  | awk '$1 ~ /^(unpacked|half-configured|half-installed)$/ { printf "%s ", $2 }')"
engine version -f "$1" >"$answers/versions" 2>/dev/null &
echo "compose $(engine compose version --short 2>/dev/null)" >"$answers/compose" &
echo "buildx $(engine buildx version 2>/dev/null | cut -d' ' -f2)" >"$answers/buildx" &
engine network inspect bridge -f "$2" >"$answers/bridge" 2>/dev/null &
wait
cat "$answers"/*
