#!/usr/bin/env bash
# PORT: the host's firewall, and whether custom rules let containers reach the port.

. files/shell/limited.sh
. files/firewall/dropping.sh

if command -v ufw >/dev/null; then
  if answered ufw status 2>/dev/null | grep -q '^Status: active'; then
    echo ufw
    answered ufw show added 2>/dev/null | sed -n 's/^ufw /rule ufw /p'
  elif grep -qsi '^ENABLED=yes' /etc/ufw/ufw.conf; then
    echo ufw-at-boot
  fi
fi
if [ "$(answered firewall-cmd --state 2>/dev/null)" = running ]; then
  echo firewalld
  zone=$(answered firewall-cmd --get-zone-of-interface=docker0 2>/dev/null) || zone=
  [ -z "$zone" ] || echo "zone $zone"
  [ -z "$zone" ] || echo "target $(
    answered firewall-cmd --permanent --zone="$zone" --get-target 2>/dev/null)"
fi
dropping "$1" | sed 's/^/dropping /'
true
