#!/bin/sh
# Same as in the official image: flags alone, or a known subcommand, are passed to traefik.
set -e
if [ "${1#-}" != "$1" ]; then
    set -- traefik "$@"
elif traefik "$1" --help >/dev/null 2>&1 && [ "$1" != traefik ]; then
    set -- traefik "$@"
fi
exec "$@"
