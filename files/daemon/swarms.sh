#!/bin/sh
# ROOT...: says in which folders below the Engine's data roots a node of a Swarm keeps its state.
#
# What a node of a Swarm keeps below the Engine's data root; with userns-remap that is a folder
# further down, named by two numbers (moby: daemon/daemon_unix.go, setupDaemonRoot).

for root; do
  for folder in "${root%/}" "${root%/}"/[0-9]*.[0-9]*; do
    [ ! -e "$folder/swarm/docker-state.json" ] || echo "swarm $folder"
  done
done
