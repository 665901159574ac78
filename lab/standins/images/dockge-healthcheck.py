#!/usr/bin/python3
"""Stand-in for Dockge's extra/healthcheck: exits with 0 if the web server answers."""

import os
import sys
import urllib.request

try:
    port = os.environ.get("DOCKGE_PORT", "5001")
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).close()
except OSError as error:
    sys.exit(f"unhealthy: {error}")
