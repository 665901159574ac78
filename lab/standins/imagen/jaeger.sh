#!/bin/sh
# Jaeger's program in its image: the stand-in, with the packages that it needs.
export PYTHONPATH=/opt/lab:/opt/lab/packages PYTHONDONTWRITEBYTECODE=1
exec python3 /opt/lab/jaeger.py "$@"
