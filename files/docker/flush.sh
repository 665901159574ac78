#!/bin/sh
# flush: has the disk hold what Docker has written.

flush() {
  root=$(docker info -f '{{.DockerRootDir}}') || return 1
  for folder in "$root" /var/lib/containerd; do
    [ ! -d "$folder" ] || sync -f "$folder" || return 1
  done
}
