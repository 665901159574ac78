"""NVIDIA: which cards there are, which driver they need, what is wrong with it, CDI."""
