"""Pictures of one object, as generators make them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

RED = (200, 40, 40)
WHITE = (250, 250, 250)


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue()


def cup(size: int = 512) -> Image.Image:
    """Return a red object with a handle, transparent around it."""
    picture = Image.new("RGBA", (4 * size, 4 * size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    unit = size // 32
    draw.ellipse((72 * unit, 48 * unit, 104 * unit, 80 * unit), outline=RED, width=6 * unit)
    draw.rounded_rectangle((36 * unit, 40 * unit, 84 * unit, 96 * unit), 6 * unit, fill=RED)
    draw.ellipse((44 * unit, 48 * unit, 60 * unit, 60 * unit), fill=(240, 160, 160))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def photographed(
    cut: Image.Image,
    ground: tuple[int, int, int] = WHITE,
    uneven: float = 0,
    noise: float = 2,
    shadow: float = 0.45,
) -> Image.Image:
    """Return the picture of an object that stands in front of a wall, in soft light."""
    y, x = np.mgrid[0 : cut.height, 0 : cut.width] / cut.height
    wall = np.array(ground, float) - uneven * (x + y)[..., None]
    alpha = cut.getchannel("A")
    left, _, right, bottom = alpha.getbbox() or (0, 0, 0, 0)
    dark = Image.new("L", cut.size)
    high = cut.height // 16
    box = (left + high, bottom - high, right + high, bottom + high)
    ImageDraw.Draw(dark).ellipse(box, fill=round(255 * shadow))
    soft = np.asarray(dark.filter(ImageFilter.GaussianBlur(high / 3)), float) / 255
    wall = wall * (1 - soft[..., None])
    share = np.asarray(alpha, float)[..., None] / 255
    seen = np.asarray(cut.convert("RGB"), float) * share + wall * (1 - share)
    seen += np.random.default_rng(0).normal(0, noise, seen.shape)
    return Image.fromarray(seen.clip(0, 255).astype(np.uint8))
