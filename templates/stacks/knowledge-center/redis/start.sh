#!/bin/sh
# Starts Redis with its password as an access list, which takes a hash: so the password is in no
# command line and no environment, and any character will do.
set -eu
umask 077
hash=$(sha256sum </run/secrets/redis_password)
printf 'user default on #%s ~* &* +@all\n' "${hash%% *}" >/tmp/users.acl
exec redis-server /etc/redis/redis.conf --aclfile /tmp/users.acl
