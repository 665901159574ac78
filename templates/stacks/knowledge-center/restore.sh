#!/usr/bin/env bash
#
# ./restore.sh FILE    has Redis hold what backup.sh wrote to FILE, and nothing else
#
# Redis is stopped for it. What it held before is kept in its volume, as appendonlydir.before.
set -euo pipefail
[ $# = 1 ] && [ -f "$1" ] || { echo "usage: restore.sh FILE (one that backup.sh wrote)" >&2; exit 2; }
file=$(realpath -- "$1")
cd "$(dirname "${BASH_SOURCE[0]}")"
export COMPOSE_IGNORE_ORPHANS=true

compose() { docker compose -f docker-compose.yml "$@"; }
in_volume() { compose run --rm --no-deps -T --entrypoint sh redis -euc "$1"; }

# Looked at before anything is stopped.
in_volume '
    cat >/data/restore.rdb
    redis-check-rdb /data/restore.rdb >/tmp/said || {
        cat /tmp/said >&2
        rm /data/restore.rdb
        exit 1
    }
    ' <"$file" || { echo "restore.sh: $file is no whole backup, nothing was changed" >&2; exit 1; }

compose stop redis
# With append-only files on, Redis reads those and never a dump.rdb. Their base may be a snapshot,
# though: the backup becomes the base, and the manifest says so.
in_volume '
    cd /data
    rm -rf appendonlydir.new
    mkdir appendonlydir.new
    mv restore.rdb appendonlydir.new/appendonly.aof.1.base.rdb
    echo "file appendonly.aof.1.base.rdb seq 1 type b" >appendonlydir.new/appendonly.aof.manifest
    sync
    rm -rf appendonlydir.before
    [ ! -d appendonlydir ] || mv appendonlydir appendonlydir.before
    mv appendonlydir.new appendonlydir
    ' </dev/null
compose up -d --no-build --wait redis
# shellcheck disable=SC2016  # the container's shell expands it
compose exec -T redis sh -c '
    REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli dbsize' |
    sed 's/.*/restored, Redis holds & keys/'
