#!/bin/sh
# FOLDER SERVICE...: removes containers, and no volume of them.
#
# Of a container with an old secret, Compose would say that it is as it should be.

folder=$1; shift
docker compose --project-directory "$folder" rm --force --stop -- "$@" </dev/null
