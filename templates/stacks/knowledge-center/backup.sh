#!/usr/bin/env bash
#
# ./backup.sh [FILE]    writes what Redis holds to FILE, while it runs
#
# One snapshot (RDB), taken as a replica would take it. restore.sh reads it back.
set -euo pipefail
umask 077
file=${1:-/var/backups/knowledge-center/redis-$(date -u +%Y%m%dT%H%M%SZ).rdb}
file=$(realpath -m -- "$file")
cd "$(dirname "${BASH_SOURCE[0]}")"
export COMPOSE_IGNORE_ORPHANS=true

redis() { docker compose -f docker-compose.yml exec -T redis "$@"; }

mkdir -p "$(dirname "$file")"
trap 'rm -f "$file.part"' EXIT
# To a file there first: to standard output redis-cli leaves the stream's end mark behind the data,
# and a Redis that starts from such a file refuses it (7.0.15).
# shellcheck disable=SC2016  # the container's shell expands it
redis sh -ec '
    trap "rm -f /data/backup.rdb" EXIT
    export REDISCLI_AUTH="$(cat /run/secrets/redis_password)"
    { redis-cli --rdb /data/backup.rdb && redis-check-rdb /data/backup.rdb; } >/tmp/said 2>&1 || {
        cat /tmp/said >&2
        exit 1
    }
    cat /data/backup.rdb' >"$file.part"
sync "$file.part"
mv "$file.part" "$file"
echo "$file: $(stat -c %s "$file") bytes"
