#!/bin/sh
# flush: makes sure that everything Docker has written is on disk.

flush() {
  root=$(docker info -f '{{.DockerRootDir}}') || return 1
  for folder in "$root" /var/lib/containerd; do
    [ ! -d "$folder" ] || sync -f "$folder" || return 1
  done
}
