"""Judges an uploaded picture before anything is stored or queued."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from dataclasses import dataclass


class RefusedError(Exception):
    """An upload that cannot be worked on: the HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Limits:
    """What an upload may be: pixels in all, pixels of the shorter and longer edge, bytes, and the
    content types."""

    pixels: int
    shortest: int
    longest: int
    size: int
    types: Collection[str]


_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Pillow, Image file formats: the modes that PNG can hold.
_PNG_MODES = {"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"}
_ORIENTATION = 0x0112  # Exif 2.32, table 4


def check_declared(size: int, kind: str | None, limits: Limits) -> None:
    """Raise RefusedError if an upload can be refused without reading it.

    + size: its bytes
    + kind: the content type that the client gave
    """
    if size == 0:
        raise RefusedError(400, "The file is empty.")
    if size > limits.size:
        raise RefusedError(
            413,
            f"The file has {size:,} bytes; without an API key of a higher tier {limits.size:,}"
            " are allowed.",
        )
    if kind not in limits.types:
        raise RefusedError(
            415,
            f"The file is sent as {kind or 'nothing'}; pictures are sent as one of"
            f" {', '.join(sorted(limits.types))}.",
        )


def check_dimensions(width: int, height: int, limits: Limits) -> None:
    """Raise RefusedError if a picture of this width and height is too large or too small."""
    if width * height > limits.pixels:
        raise RefusedError(
            413,
            f"The picture has {width} x {height} = {width * height:,} pixels;"
            f" {limits.pixels:,} are allowed.",
        )
    if max(width, height) > limits.longest:
        raise RefusedError(
            413, f"The picture has {width} x {height} pixels; an edge may have {limits.longest}."
        )
    if min(width, height) < limits.shortest:
        raise RefusedError(
            400, f"The picture has {width} x {height} pixels; an edge needs {limits.shortest}."
        )


def safe_name(name: str | None) -> str:
    """Return a file's name that can be part of an object's name: no folder, no odd character."""
    last = re.split(r"[/\\]", name or "")[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip("._")[-80:] or "picture"


def readable(contents: bytes, limits: Limits) -> bytes:
    """Return the picture in a form that upstream stores without loss or error.

    That is the file itself, or a PNG of it: if PNG has no such colors (CMYK), or if the picture
    lies on its side, since upstream drops the note that says so. Raises RefusedError. Its size is
    judged by the header, before it is decoded.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(contents), formats=_FORMATS)
        size = image.size
    except Exception as error:
        raise RefusedError(
            400, "The file is not a picture that can be read (JPEG, PNG, WebP or GIF)."
        ) from error
    check_dimensions(*size, limits)
    try:
        image.load()
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        if not turned and image.mode in _PNG_MODES:
            return contents
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in _PNG_MODES:
            upright = upright.convert("RGB")
        buffer = io.BytesIO()
        upright.save(buffer, format="PNG", compress_level=1)
    except Exception as error:  # Pillow's decoders raise whatever they stumble over.
        raise RefusedError(400, "The picture is damaged: it cannot be decoded.") from error
    return buffer.getvalue()
