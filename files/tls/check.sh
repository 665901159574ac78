#!/usr/bin/env bash
# FOLDER FILE DOMAIN NAME...: tells in words what make.sh would make.

. files/tls/internal.sh

authority || echo "authority there is none"
why=$(reason)
if [ -n "$why" ]; then echo "certificate $why"; elif ! placed; then echo "file"; fi
