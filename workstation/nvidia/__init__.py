"""NVIDIA: cards, the driver they need, problems with it, and CDI."""
