#!/bin/sh
# NAME...: the addresses of this machine, and those that each name resolves to.

. files/acceptance/is_bridge.sh

ip -o addr show scope global | awk '{split($4, part, "/"); print part[1], $2}' \
  | while read -r address interface; do
    is_bridge "$interface" || echo "own $address"
  done
for name; do
  # shellcheck disable=SC2046 # a list, one word each
  ( echo "name $name" $(timeout 30 getent hosts "$name" | awk '{print $1}' | sort -u) ) &
done
wait
