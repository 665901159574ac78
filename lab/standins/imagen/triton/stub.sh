#!/bin/sh
# Triton's process for one model in Python, with the numpy that it was built for; all other packages
# are those of the first python3 in PATH, as always (it takes no PYTHONPATH).
LAB_PREFIX=$(dirname "$(dirname "$(command -v python3)")")
export LAB_PREFIX PATH="/opt/tritonserver/lab/python/bin:$PATH"
exec /opt/tritonserver/backends/python/triton_python_backend_stub-real "$@"
