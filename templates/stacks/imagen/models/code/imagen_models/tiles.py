"""Where the tiles of a picture lie, and how each fades into the one before it.

Both sides of a picture are cut independently: tiles are joined to rows, and rows to the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Beginning and end of a tile along one side, and how many pixels it shares with the one before
    it."""

    start: int
    end: int
    shared: int


def spans(length: int, edge: int, overlap: int) -> list[Span]:
    """Return the tiles along one side, evenly distributed.

    + length: of the side
    + edge: most pixels of a tile
    + overlap: least pixels that neighbors share; less than half of ``edge``
    """
    if length <= edge:
        return [Span(0, length, 0)]
    count = math.ceil((length - overlap) / (edge - overlap))
    starts = [round(index * (length - edge) / (count - 1)) for index in range(count)]
    before = [0, *(start + edge for start in starts)]
    return [Span(one, one + edge, end - one) for one, end in zip(starts, before, strict=False)]


def fade(length: int, shared: int) -> bytes:
    """Return how much of a tile is visible along one side, a byte for each pixel: 0 at the edge
    that lies on the tile before it, 255 where it lies alone.

    Only the middle quarter of what they share fades: near its edge a network knows too little of
    the surroundings, so neither tile's edge is ever visible.

    + length: of the tile
    + shared: pixels that it shares with the tile before it; 0 if there is none
    """
    margin = shared * 3 // 8
    between = shared - 2 * margin
    ramp = (round(255 * (index + 1) / (between + 1)) for index in range(between))
    return bytes([*[0] * margin, *ramp, *[255] * (length - margin - between)])
