"""Stand-in for CLIP."""
