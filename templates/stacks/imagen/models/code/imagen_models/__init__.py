"""What the five models in Triton share.

Triton's Python backend imports ``<model>/1/model.py``, which adds the folder above this package to
the path: the backend ignores PYTHONPATH. ``configuration``, ``messages``, ``sizes``, ``tiles`` and
``weights`` use the standard library alone; ``pictures`` uses Pillow; the others need what the image
of Triton has.
"""

from collections.abc import Mapping

Inputs = Mapping[str, float | str]
"""Optional tensors of a request by name, each with one value."""


class RefusalError(Exception):
    """Why a request is not answered or a model not loaded: one sentence for the person who can
    change it. ``theirs``: whether the request is wrong, rather than this machine."""

    def __init__(self, sentence: str, theirs: bool = False) -> None:
        super().__init__(sentence)
        self.theirs = theirs
