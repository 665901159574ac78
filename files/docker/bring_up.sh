#!/bin/sh
# up: brings up the stack of $folder.
#
# Until Docker itself restarts, it keeps the port of a container that a power cut removed while it
# was starting (seen with Engine 26.1; moby/moby#20486), and does not get back an address that it
# lost (see workstation/docker/daemon.py).

answered() { timeout -k 5 60 "$@"; }
# Prints why containers would not keep running, or fails if they would.
restart_harm() {
  . files/daemon/process.sh
  live=$(docker info -f '{{.LiveRestoreEnabled}}')
  [ "$live" = true ] || { echo "live-restore is off"; return; }
  case $(systemctl show -P KillMode docker.service) in
    process|none) ;;
    *) echo "KillMode of its unit stops them too"; return ;;
  esac
  begun=$(systemctl show --timestamp=unix -P ExecMainStartTimestamp docker.service)
  changed=$(stat -c %Y -- "$configuration" 2>/dev/null)
  if [ "$(systemctl show -P NeedDaemonReload docker.service)" = yes ] \
    || [ "${changed:-0}" -gt "${begun#@}" ]; then
    echo "its configuration was changed after it started"; return
  fi
  return 1
}
said=$(mktemp -d); trap 'rm -rf "$said"' EXIT
# shellcheck disable=SC2154 # $folder is of up.sh
up_once() {
  rm -f "$said/failed"
  {
    docker compose --project-directory "$folder" up -d --remove-orphans --no-build --pull never \
      2>&1 </dev/null || touch "$said/failed"
  } | tee "$said/all"
  [ ! -e "$said/failed" ]
}
up() {
  up_once && return
  port=$(sed -n 's/.*Bind for .*:\([0-9]*\) failed: port is already allocated.*/\1/p' "$said/all" \
    | head -n 1)
  if [ -n "$port" ]; then
    [ -z "$(docker ps -q --filter "publish=$port" --filter "publish=$port/udp")" ] || return 1
    left="Docker keeps port $port for a container that is gone, as after a power cut"
  elif grep -q 'could not parse extra host IP' "$said/all"; then
    left="Docker has lost the address of host-gateway, as its version 28 does with each reload"
  else
    return 1
  fi
  if harm=$(restart_harm); then
    echo "$left; a restart of Docker might stop running containers: $harm." \
      "Run \`systemctl restart docker\` when that is safe, then run again." >&2
    return 1
  fi
  echo "$left: restarting Docker; containers keep running"
  systemctl restart docker.service && up_once
}
