#!/bin/sh
# FORMAT: of `docker ps`. Who waits for connections, and what may be behind that.
#
# Docker's own list is asked too: without its helper programs ("userland-proxy": false) nobody
# listens on a published port, and the kernel passes connections on. What systemd holds until it is
# used is listed by the units that it belongs to.

. files/acceptance/is_bridge.sh
. files/shell/sockets.sh

ip -o addr show | awk '{split($4, part, "/"); print part[1], $2}' \
  | while read -r address interface; do
    ! is_bridge "$interface" || echo "bridge $interface $address"
  done
timeout 20 docker ps --no-trunc --format "$1" 2>/dev/null
timeout 20 systemctl list-sockets --no-legend --no-pager --full 2>/dev/null | sed 's/^ */socket /'
sockets=$(ss -Hltnup 2>&1) || { echo "$sockets"; exit 1; }
tell_sockets "$sockets"
