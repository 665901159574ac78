"""Compose files: their schema and rules, and what bringing one up will do."""
