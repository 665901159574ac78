"""Traefik's labels and rules, which nothing but Traefik itself checks."""
