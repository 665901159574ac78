"""Stand-in for imagen."""
