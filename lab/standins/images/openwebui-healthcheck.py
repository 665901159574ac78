#!/usr/bin/python3
"""Stand-in for Open WebUI's health check, which queries /health with curl and jq."""

import json
import os
import sys
import urllib.request

try:
    port = os.environ.get("PORT", "8080")
    with urllib.request.urlopen(f"http://localhost:{port}/health", timeout=20) as answer:
        status = json.load(answer)["status"]
except (OSError, ValueError, KeyError) as error:
    sys.exit(f"unhealthy: {error}")
sys.exit(0 if status is True else 1)
