#!/bin/sh
# is_bridge INTERFACE: whether only containers are behind it. The owner of a Docker network may
# choose its interface's name, and a bridge of the LAN may be named like Docker's (`br-` and twelve
# hexadecimal digits); a bridge to the LAN contains a network card or a virtual machine's tap.

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
