"""What the lab raises."""

from __future__ import annotations


class LabError(Exception):
    """A sentence for the person at the terminal: what is wrong, where, how to fix it."""
