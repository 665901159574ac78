"""Stand-in for the package of sd-scripts."""
