#!/bin/sh
# CONTAINER...: stops containers as their images ask for, and removes them, but none of their
# volumes.
#
# By ID: a service may have containers that a person started, and those stay.

docker stop -- "$@" >/dev/null </dev/null && docker rm -- "$@" >/dev/null </dev/null
