"""The output of `systemctl show`."""

from __future__ import annotations

import pytest

from workstation.units.show import blocks, unix_time


def test_each_unit_has_its_own_properties():
    """A value may contain the separator."""
    lines = ["Id=a.service", "ExecStart=a=b", "", "", "Id=b.service", "DropInPaths=", ""]
    assert blocks(lines) == [
        {"Id": "a.service", "ExecStart": "a=b"},
        {"Id": "b.service", "DropInPaths": ""},
    ]
    assert blocks([]) == blocks([""]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@1795161600", 1795161600.0),
        ("@1795161600.25", 1795161600.25),
        ("Fri 2026-11-20 08:00:00.250000 UTC", 1795161600.25),
        ("n/a", 0.0),
        ("", 0.0),
    ],
)
def test_times_in_both_of_its_forms(text: str, expected: float):
    assert unix_time(text) == expected
