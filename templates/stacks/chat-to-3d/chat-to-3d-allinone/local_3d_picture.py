"""Prepares a picture for TripoSR: what it shows, cut out, on gray.

Upstream removes the background with rembg, which downloads its network from GitHub when it is first
used. The pictures that come here were made to have a plain background, so it is followed from the
border inward instead. It may be lit unevenly and carry soft shadows. Two things go wrong:
background that the object encloses, as between legs that touch, stays; and an object without any
color may be lost where it is exactly as bright as a shadow beside it.
"""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from scipy import ndimage
from scipy.spatial import KDTree
from skimage import color

FORMATS = ("PNG", "JPEG", "WEBP")
"""What the page sends. Pillow's other readers, of which one starts a program, are of no use."""

MOST_PIXELS = 50_000_000

EDGE = 1024
"""Longest side of a picture that is worked on, in pixels: the network reads 512."""

SHARE = 0.85
GRAY = (127, 127, 127)
"""How much of the square the object fills, and the color around it, which TripoSR was made for
(its run.py: ``--foreground-ratio``, and 0.5)."""

LEAST = 0.002
"""Share of the picture below which what stands out is dirt."""

# The background is followed on a picture of this size, in pixels. The values below belong to it,
# and were tried on pictures of generators, and on cut-out ones over soft shadows.
_FOLLOWED = 640
# Brightness (of 1) that changes from one pixel to the next, on the background and in its shadows.
_STEP, _SHADOW_STEP = 0.012, 0.03
# How far its tint, and that of a shadow, is from those at the border (in CIELAB's a and b).
_TINT, _SHADOW_TINT = 10.0, 3.0
# How much darker than the border a shadow is at least (in CIELAB's L), and which part remains.
_SHADOW, _DARKEST = 3.0, 0.35
# Pixels: gaps in an outline that nothing passes, and half the width of lines that are no object.
_GAP, _LINE = 2, 2
# Share of the border that is background, unless there is no plain one.
_PLAIN = 0.5
# Parts of the object are at least this share of its largest one.
_PART = 0.02

_CROSS = ndimage.generate_binary_structure(2, 1)

Mask = NDArray[np.bool_]


def prepared(content: bytes) -> Image.Image:
    """Return the square picture that the network reads, in RGB.

    + content: a PNG, JPEG or WebP file. If parts of it are transparent, the rest is the object

    Raises ValueError with a sentence.
    """
    return _framed(_cut_out(_read(content)))


def _read(content: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.width * picture.height <= MOST_PIXELS:
            upright = ImageOps.exif_transpose(picture)
            result = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
            result.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
            return result
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's readers raise many kinds of errors for broken files.
        raise ValueError(
            f"These {len(content)} bytes are no picture that can be read: send a PNG, JPEG or WebP"
            " file."
        ) from error
    raise ValueError(
        f"The picture has {picture.width} x {picture.height} pixels, more than {MOST_PIXELS}: send"
        " a smaller one."
    )


def _cut_out(picture: Image.Image) -> Image.Image:
    """Return the picture with a transparent background."""
    if picture.mode == "RGBA" and np.asarray(picture)[..., 3].min() < 255:
        return picture
    opaque = picture.convert("RGB")
    small = opaque.copy()
    small.thumbnail((_FOLLOWED, _FOLLOWED), Image.Resampling.LANCZOS)
    ground = _background(np.asarray(small, np.float32) / np.float32(255))
    if np.concatenate([ground[0], ground[-1], ground[:, 0], ground[:, -1]]).mean() < _PLAIN:
        raise ValueError(
            "The picture has no plain background: use one with a plain or transparent background."
        )
    found = _object(ground)
    alpha = Image.fromarray(found.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    opaque.putalpha(alpha.resize(opaque.size, Image.Resampling.BILINEAR))
    return opaque


def _background(colors: NDArray[np.float32]) -> Mask:
    """Return where the background is.

    + colors: height, width and RGB, from 0 to 1

    It goes on from the border over pixels that change slowly and have a tint that is at the border
    too. In shadows, which change faster, the tint must be nearer.
    """
    smooth = ndimage.gaussian_filter(colors, (1, 1, 0))
    down, right = (
        ndimage.gaussian_filter(colors, (1, 1, 0), order=order) for order in ((1, 0, 0), (0, 1, 0))
    )
    step = np.hypot(down, right).max(-1)
    lab = color.rgb2lab(smooth)
    light = lab[..., 0]
    turned = lab.swapaxes(0, 1)
    border = np.concatenate([*lab[:3], *lab[-3:], *turned[:3], *turned[-3:]])
    tint = KDTree(border[::7, 1:]).query(lab[..., 1:])[0]
    shadow = (step < _SHADOW_STEP) & (tint < _SHADOW_TINT)
    shadow &= light < np.median(border[:, 0]) - _SHADOW
    like = ((step < _STEP) & (tint < _TINT)) | shadow
    like &= light > _DARKEST * np.percentile(border[:, 0], 10)
    # A margin of background joins what an object at the border divides.
    margin = 4 * _GAP
    wide = np.pad(like, margin, constant_values=True)
    narrow = ndimage.binary_erosion(wide, _CROSS, iterations=_GAP, border_value=1)
    parts, _ = ndimage.label(narrow)
    reached = ndimage.binary_dilation(parts == parts[0, 0], _CROSS, iterations=_GAP) & wide
    return cast(Mask, reached[margin:-margin, margin:-margin])


def _object(background: Mask) -> Mask:
    """Return where the object is, without lines and specks, whole, and a pixel inside its edge.

    Raises ValueError if there is none.
    """
    found = ndimage.binary_opening(~background, _CROSS, iterations=_LINE)
    found = ndimage.binary_erosion(ndimage.binary_fill_holes(found), _CROSS)
    parts, count = ndimage.label(found)
    sizes: NDArray[Any] = ndimage.sum_labels(found, parts, np.arange(1, count + 1))
    if not count or sizes.sum() < LEAST * found.size:
        raise ValueError(_NOTHING)
    return np.isin(parts, np.flatnonzero(sizes >= _PART * sizes.max()) + 1)


_NOTHING = (
    "Nothing in the picture stands out from its background: use a picture of one object on a plain"
    " or transparent background."
)


def _framed(cut: Image.Image) -> Image.Image:
    """Return the object of a picture with transparency in the middle of a gray square."""
    alpha = cut.getchannel("A")
    # Fainter ones are what painting programs leave behind.
    box = alpha.point(lambda value: value if value > 16 else 0).getbbox()
    if box is None:
        raise ValueError(_NOTHING)
    width, height = box[2] - box[0], box[3] - box[1]
    side = round(max(width, height) / SHARE)
    square = Image.new("RGB", (side, side), GRAY)
    place = ((side - width) // 2, (side - height) // 2)
    square.paste(cut.convert("RGB").crop(box), place, alpha.crop(box))
    return square
