#!/bin/bash
# Stand-in for Open WebUI's start.sh.
exec python3 openwebui.py
