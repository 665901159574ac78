"""Where the tiles of a picture lie, and how each fades into those before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A part of a picture: its place, and how far its left and upper edge reach into earlier
    tiles, in pixels of the picture."""

    left: int
    top: int
    right: int
    bottom: int
    from_left: int
    from_top: int


def tiles(width: int, height: int, edge: int, overlap: int) -> Iterator[Tile]:
    """Yield tiles that cover a picture, row by row from its upper left corner.

    + edge: longest side of a tile
    + overlap: least pixels that neighbors share; less than half of ``edge``
    """
    across, down = _spans(width, edge, overlap), _spans(height, edge, overlap)
    above = 0
    for top, bottom in down:
        before = 0
        for left, right in across:
            yield Tile(left, top, right, bottom, max(0, before - left), max(0, above - top))
            before = right
        above = bottom


def _spans(length: int, edge: int, overlap: int) -> list[tuple[int, int]]:
    """Return beginning and end of tiles along one side, evenly distributed."""
    if length <= edge:
        return [(0, length)]
    count = math.ceil((length - overlap) / (edge - overlap))
    starts = [round(index * (length - edge) / (count - 1)) for index in range(count)]
    return [(start, start + edge) for start in starts]


def fade(length: int, overlap: int) -> bytes:
    """Return how much of a tile is visible along one side, a byte for each pixel: 0 at the edge
    that lies on an earlier tile, 255 where it lies alone.

    The outer quarters of the overlap do not fade: near its edge a network knows too little of the
    surroundings, so neither tile's edge is ever visible.

    + length: of the side
    + overlap: pixels that it shares with the earlier tile; 0 if there is none
    """
    margin = overlap // 4
    between = overlap - 2 * margin
    ramp = (round(255 * (index + 1) / (between + 1)) for index in range(between))
    return bytes([*[0] * margin, *ramp, *[255] * (length - margin - between)])
