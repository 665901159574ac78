#!/bin/sh
# FOLDER SERVICE...: removes containers, but none of their volumes.
#
# Compose would consider a container with an outdated secret up to date.

folder=$1; shift
docker compose --project-directory "$folder" rm --force --stop -- "$@" </dev/null
