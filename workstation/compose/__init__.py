"""Compose files: what may stand in them, and what bringing one up will do."""
