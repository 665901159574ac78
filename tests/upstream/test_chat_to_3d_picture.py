"""How chat-to-3d's backend ``local`` cuts the object out of a picture.

Run it in the environment of test_chat_to_3d_local.py: docs/images.md.
"""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skimage")

import numpy as np
from PIL import Image
from scipy import ndimage

from tests.upstream.made_pictures import RED, WHITE, cup, file_of, photographed

APP = Path(__file__).resolve().parents[2] / "templates/stacks/chat-to-3d/chat-to-3d-allinone"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What prepares pictures."""
    monkeypatch.syspath_prepend(str(APP))
    # Everything in that folder goes to the host.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module("local_3d_picture").prepared


def shown(prepared: Any, picture: Image.Image) -> Any:
    """Return where the network sees an object."""
    square = prepared(file_of(picture))
    small = np.asarray(square.resize((256, 256)), np.int16)
    return np.abs(small - 127).max(-1) > 16


def prepared_share(prepared: Any, content: bytes) -> float:
    seen = np.abs(np.asarray(prepared(content), np.int16) - 127).max(-1) > 16
    return float(seen.mean())


@pytest.mark.parametrize(
    ("ground", "uneven", "noise"),
    [(WHITE, 0, 2), ((225, 225, 228), 20, 1), ((130, 130, 150), 0, 2), ((40, 42, 40), 5, 1)],
)
def test_the_background_is_removed(
    prepared: Any, ground: tuple[int, int, int], uneven: float, noise: float
):
    """With soft shadows, uneven light and noise: as much is left as of the same object on a
    transparent ground, except for what its handle encloses."""
    expected = shown(prepared, cup())
    found = shown(prepared, photographed(cup(), ground, uneven, noise))
    filled = ndimage.binary_fill_holes(expected)
    assert expected.sum() < filled.sum()
    assert (found & filled).sum() / (found | filled).sum() > 0.93


def test_a_white_object_on_white_is_found(prepared: Any):
    """By its outline: its rim is darker than its shadow."""
    y, x = np.mgrid[0:512, 0:512]
    distance = np.hypot(x - 256, y - 240) / 150
    shade = 245 - 80 * distance.clip(0, 1) ** 4
    ball = Image.fromarray(np.repeat(shade[..., None], 3, 2).astype(np.uint8)).convert("RGBA")
    ball.putalpha(Image.fromarray(((1 - distance) * 150 * 255).clip(0, 255).astype(np.uint8)))
    found = shown(prepared, photographed(ball, shadow=0.15))
    expected = shown(prepared, ball)
    assert (found & expected).sum() / (found | expected).sum() > 0.95


def test_transparency_is_kept(prepared: Any):
    """It says what the object is: the handle stays open, and a colored ground is not seen."""
    cut = cup()
    colored = Image.new("RGBA", cut.size, (0, 0, 255, 0))
    visible = cut.getchannel("A").point(lambda value: value and 255)
    colored.paste(cut.convert("RGB"), mask=visible)
    colored.putalpha(cut.getchannel("A"))
    square = prepared(file_of(colored))
    assert square.width == square.height
    assert square.getpixel((0, 0)) == (127, 127, 127)
    blue = np.asarray(square, np.int16)
    assert (blue[..., 2] - blue[..., 0]).max() < 32
    seen = shown(prepared, colored)
    assert ndimage.binary_fill_holes(seen).sum() > seen.sum()


@pytest.mark.parametrize("size", [(512, 512), (900, 300), (64, 2000)])
def test_the_object_fills_the_square_as_upstream_wants_it(prepared: Any, size: tuple[int, int]):
    """0.85 of the longer side, in the middle, whatever the picture's form."""
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    picture.paste(RED, (size[0] // 4, 0, size[0] // 2, size[1] // 3))
    seen = shown(prepared, picture)
    sides = [np.flatnonzero(seen.any(axis)) for axis in (0, 1)]
    assert max(np.ptp(side) + 1 for side in sides) / 256 == pytest.approx(0.85, abs=0.02)
    assert [side[0] + side[-1] for side in sides] == pytest.approx([255, 255], abs=4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_every_kind_of_picture_is_read(prepared: Any, kind: str, mode: str):
    """The page sends PNG; a program may send another."""
    if (kind, mode) == ("JPEG", "P"):
        mode = "CMYK"
    picture = photographed(cup()).convert(mode, palette=Image.Palette.ADAPTIVE)
    if kind == "WEBP":
        picture = picture.convert("RGB")
    assert 0.2 < prepared_share(prepared, file_of(picture, kind)) < 0.6


def test_a_photo_that_lies_on_its_side_is_turned(prepared: Any):
    """As its camera says."""
    upright = photographed(cup(256))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees, clockwise"
    buffer = io.BytesIO()
    upright.rotate(90, expand=True).save(buffer, format="PNG", exif=exif)
    assert prepared(buffer.getvalue()).tobytes() == prepared(file_of(upright)).tobytes()


def test_what_is_no_picture_is_refused(prepared: Any):
    """With its size, also if it begins like one."""
    whole = file_of(cup(64))
    for content in (b"", b"text", whole[: len(whole) // 2], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(ValueError, match=f"These {len(content)} bytes are no picture"):
            prepared(content)
    large = file_of(Image.new("1", (10_000, 5_001)))
    with pytest.raises(ValueError, match="has 10000 x 5001 pixels, more than 50000000"):
        prepared(large)


def test_pictures_without_an_object_are_refused(prepared: Any):
    """Nothing but ground, nothing visible, a speck; or no ground."""
    plain = Image.new("RGB", (300, 300), WHITE)
    speck = plain.copy()
    speck.paste((0, 0, 0), (100, 100, 108, 108))
    for empty in (plain, speck, Image.new("RGBA", (300, 300), (255, 0, 0, 0))):
        with pytest.raises(ValueError, match="Nothing in the picture stands out"):
            prepared(file_of(empty))
    busy = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="has no plain background"):
        prepared(file_of(Image.fromarray(busy).resize((400, 400))))
