#!/bin/sh
# is_bridge INTERFACE: whether there are but containers behind it. A network of Docker's may have a
# name that its owner chose, and a bridge of the LAN one that begins as Docker's do (`br-` and
# twelve hexadecimal digits); one that the LAN is behind has the card, or a machine's tap, in it.

is_bridge() {
  case $1 in
    docker*|veth*) return 0 ;;
    br-*[!0-9a-f]*) ;;
    br-????????????) return 0 ;;
  esac
  [ -d "/sys/class/net/$1/bridge" ] || return 1
  for port in "/sys/class/net/$1/brif"/*; do
    case ${port##*/} in veth*|"*") ;; *) return 1 ;; esac
  done
}
