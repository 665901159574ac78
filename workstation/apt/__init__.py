"""apt: its sources, the keys that vouch for them, and what it says when it fails."""
