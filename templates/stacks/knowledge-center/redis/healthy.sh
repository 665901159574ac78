#!/bin/sh
# redis-cli ends with 0 whatever the answer is: one without a password is an error, too.
REDISCLI_AUTH=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH
[ "$(redis-cli ping)" = PONG ]
