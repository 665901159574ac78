#!/usr/bin/env bash
# NETWORK: the format of `docker network inspect`.

. files/daemon/engine.sh
. files/daemon/process.sh

[ ! -f "$configuration" ] || echo "daemon $(base64 -w0 "$configuration")"
[ -z "$arguments" ] || echo "arguments $arguments"
[ -z "$pid" ] || tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null \
  | sed -n 's/^DOCKER_INSECURE_NO_IPTABLES_RAW=1$/direct/p'
echo "links $(ip -j -d link show 2>/dev/null)"
ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/uplink \1/p'
ip -6 -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/uplink \1/p'
nft list chain inet ai_workstation_forward forward 2>/dev/null \
  | sed -n 's/^[[:space:]]*iifname "\([^"]*\)" accept$/admitted \1/p'
command -v docker >/dev/null || exit 0
networks=$(engine network ls -q --no-trunc --filter driver=bridge 2>/dev/null)
# shellcheck disable=SC2086 # a list, one word each
[ -z "$networks" ] || engine network inspect -f "$1" $networks 2>/dev/null
ip -o addr show scope global 2>/dev/null \
  | awk '{split($4, part, "/"); print "address", $2, part[1]}'
cat "$answers/wedged" 2>/dev/null
true
