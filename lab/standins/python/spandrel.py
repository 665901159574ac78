"""Stand-in for spandrel: the names that are imported of it; it loads nothing."""

from __future__ import annotations


class ImageModelDescriptor:
    """What the real one makes of a file that it knows."""


class ModelLoader:
    """The real one reads weights of many networks."""
