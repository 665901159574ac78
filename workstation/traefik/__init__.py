"""Traefik's labels and rules, at which nothing but Traefik ever looks."""
