"""Versions as numbers."""

from __future__ import annotations

import pytest

from workstation.version import version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.26.1-4", (2, 26, 1)),
        ("v2.40.2", (2, 40, 2)),
        ("5.0", (5, 0)),
        ("", ()),
        ("dev", ()),
        ("580-open", (580,)),
        ("580.95.05", (580, 95, 5)),
        ("26.1.5+dfsg1", (26, 1, 5)),
    ],
)
def test_versions_are_compared_by_their_numbers(text: str, expected: tuple[int, ...]):
    """Distributions add revisions, Docker adds a v, NVIDIA adds the kind of a driver."""
    assert version(text) == expected
