#!/bin/sh
# PROJECT SERVICE: the first arguments of every script that queries a service. Sets $container to
# its container's id; $status is 124 if Docker does not answer.

# shellcheck disable=SC2034 # for who includes this
container=$(timeout 60 docker ps -q --filter "label=com.docker.compose.project=$1" \
  --filter "label=com.docker.compose.service=$2") && status=0 || status=$?
container=$(printf %s "$container" | head -n 1)
