"""apt: its sources, their signing keys, and its error messages."""
