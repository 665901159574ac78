#!/bin/sh
# PROJECT SERVICE STORE LIMIT MODELS: see models.sh; seconds that one model may take. The models'
# paths are on standard input.

. files/invokeai/container.sh

[ -n "$container" ] || { echo "$2 of $1 is not running." >&2; exit 1; }
docker exec -i "$container" python3 -c "$5" register "$3" "$4"
