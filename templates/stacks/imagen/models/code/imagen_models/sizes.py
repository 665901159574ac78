"""At which size a diffusion model works on a picture."""

from __future__ import annotations

import math

from imagen_models import RefusalError

GRAIN = 8
"""Pixels for each step of the latents: sides are multiples of it (diffusers: vae_scale_factor)."""

SHORTEST = 64
"""Pixels of the shortest side that the networks take: three times halved latents."""


def work_size(width: int, height: int, least: int, most: int) -> tuple[int, int]:
    """Return width and height to work at: the picture's own, rounded, if its area is between
    ``least`` and ``most`` pixels, else the nearest such area in the same proportions.

    Raises RefusalError for a picture so long and narrow that it would not fit into twice ``most``.
    """
    area = width * height
    factor = math.sqrt(min(max(area, least), most) / area)
    wide, high = (max(SHORTEST, round(side * factor / GRAIN) * GRAIN) for side in (width, height))
    if wide * high > 2 * most:
        raise RefusalError(
            f"A picture of {width} x {height} pixels is too long and narrow for this model: cut it "
            "into parts.",
            theirs=True,
        )
    return wide, high
