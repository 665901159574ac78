"""Docker: its packages, how its Engine is started and configured, and which traffic it lets in."""

OLDEST_COMPOSE = "2.24"
"""Oldest version of the Compose plugin that supports our Compose files."""

WEDGED = "Docker does not answer within 60 s"
"""Detail of a finding about an Engine that takes longer than ``files/daemon/engine.sh`` waits."""
