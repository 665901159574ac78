#!/usr/bin/env bash
# PROJECT SERVICE STORE MODELS PATIENCE: the service; where its container sees the model store;
# models.py; seconds that InvokeAI may take.

. files/shell/limited.sh

command -v docker >/dev/null || exit 0
. files/invokeai/container.sh
[ "$status" != 124 ] || echo "wedged docker ps"
[ -n "$container" ] || exit 0
# shellcheck disable=SC2016 # for the shell that it starts
limited "$5" sh -c 'exec "$@" 2>&1' sh \
  docker exec "$container" python3 -c "$4" look "$3"
[ $? != 124 ] || echo "it does not answer within $5 s"
