#!/bin/sh
# FORMAT: of `docker ps`. Prints which programs listen, and what may be behind them.
#
# Docker's own list is included: without its helper programs ("userland-proxy": false) nothing
# listens on a published port, and the kernel forwards the connections. Sockets that systemd holds
# until they are used are listed by their units.

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
