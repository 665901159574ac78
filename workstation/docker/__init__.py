"""Docker: whose packages it is of, how its Engine is started and configured, what it lets in."""

OLDEST_COMPOSE = "2.24"
"""Version of the oldest Compose plugin that our Compose files can do with."""

WEDGED = "Docker does not answer within 60 s"
"""What is said of an Engine that takes longer than ``files/daemon/engine.sh`` waits."""
