#!/bin/sh
# PROJECT SERVICE: the first words of every script that asks a service: its container's id in
# $container; $status is 124 where Docker does not answer.

# shellcheck disable=SC2034 # for who includes this
container=$(timeout 60 docker ps -q --filter "label=com.docker.compose.project=$1" \
  --filter "label=com.docker.compose.service=$2") && status=0 || status=$?
container=$(printf %s "$container" | head -n 1)
