"""Reads, cuts, joins and writes pictures."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageOps

from imagen_models import RefusalError, messages
from imagen_models.tiles import fade, spans

LARGEST_RESULT = 178_956_970
"""Pixels of the largest picture that Pillow opens by default (2 * Image.MAX_IMAGE_PIXELS), as
workers do with what they get."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats that are read. Workers send PNG; Pillow's other readers, of which one starts a program,
are of no use here."""

# ``read`` has a limit of its own.
Image.MAX_IMAGE_PIXELS = None


def read(content: bytes, most: int) -> Image.Image:
    """Return a picture in RGB or RGBA, upright.

    + content: the bytes of its file
    + most: pixels that it may have; a larger one is refused before it is decoded

    Raises RefusalError.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.width * picture.height > most:
            raise RefusalError(messages.too_large(*picture.size, most), theirs=True)
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):
            # Gray with 16 bits; convert would make all but the darkest 255 white.
            return upright.convert("I").point(lambda value: value / 256).convert("RGB")
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except (RefusalError, MemoryError):
        raise
    except Exception as error:
        # Pillow's readers raise many kinds of errors for broken files.
        raise RefusalError(messages.no_picture(len(content)), theirs=True) from error


def written(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    # Level 6, the default, takes far longer and saves little.
    picture.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def opaque(picture: Image.Image) -> Image.Image:
    """Return a picture in RGB, on white where it is transparent."""
    if picture.mode == "RGB":
        return picture
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


def in_tiles(
    picture: Image.Image,
    edge: int,
    overlap: int,
    scale: int,
    work: Callable[[Image.Image], Image.Image],
) -> Image.Image:
    """Return what ``work`` makes of a picture, done in tiles whose seams do not show.

    + picture: in RGB
    + edge, overlap: of the tiles, in pixels
    + scale: how many times larger than its tile ``work``'s result is
    """
    result = Image.new("RGB", (picture.width * scale, picture.height * scale))
    across = spans(picture.width, edge, overlap)
    for down in spans(picture.height, edge, overlap):
        row = Image.new("RGB", (result.width, (down.end - down.start) * scale))
        for one in across:
            tile = work(picture.crop((one.start, down.start, one.end, down.end)))
            mask = Image.frombytes("L", (tile.width, 1), fade(tile.width, one.shared * scale))
            row.paste(tile, (one.start * scale, 0), mask.resize(tile.size))
        mask = Image.frombytes("L", (1, row.height), fade(row.height, down.shared * scale))
        result.paste(row, (0, down.start * scale), mask.resize(row.size))
    return result
