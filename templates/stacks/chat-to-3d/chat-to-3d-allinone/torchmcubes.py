"""Stands in for the package torchmcubes, which TripoSR's source imports.

That one is not on PyPI and is compiled against PyTorch where it is installed. scikit-image does the
same on the processor, and has wheels.
"""

from __future__ import annotations

from typing import Any

import torch
from skimage import measure


class NoSurfaceError(ValueError):
    """Nowhere do values cross a level."""


def marching_cubes(values: torch.Tensor, level: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the surface where values cross a level.

    + values: of three dimensions; above the level inside of the surface

    Returns vertices, in steps of the grid and with the last dimension's place first, as torchmcubes
    does, and triangles. Raises NoSurfaceError.
    """
    grid = values.cpu().numpy()
    if not grid.min() < level < grid.max():
        raise NoSurfaceError("The model found no solid object in the picture: try another picture.")
    # By its documentation "descent" would be right; its triangles then face inward.
    found: Any = measure.marching_cubes  # It has no types.
    vertices, triangles, _, _ = found(grid, level, gradient_direction="ascent")
    return (
        torch.from_numpy(vertices[:, ::-1].copy()),
        torch.from_numpy(triangles.astype("int64")),
    )
