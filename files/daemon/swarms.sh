#!/bin/sh
# ROOT...: prints the folders below the Engine's data roots that contain the state of a Swarm node.
#
# With userns-remap that is a subfolder named by two numbers (moby: daemon/daemon_unix.go,
# setupDaemonRoot).

for root; do
  for folder in "${root%/}" "${root%/}"/[0-9]*.[0-9]*; do
    [ ! -e "$folder/swarm/docker-state.json" ] || echo "swarm $folder"
  done
done
