"""Stand-in for BLIP."""
