"""Stand-in for open_clip."""
