"""The lab's errors."""

from __future__ import annotations


class LabError(Exception):
    """One sentence for the person at the terminal: what is wrong, where, and how to fix it."""
