"""The text of a diff."""

from __future__ import annotations

import pytest

from workstation.difference import difference


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('  "http-proxy": "http://bob:Geheim@proxy:3128",', "@proxy:3128"),
        ('  "https-proxy": "http://Geheim@proxy",', "@proxy"),
        ('  "registry-token": "Geheim\\" Geheim",', '"registry-token"'),
        ('  {"secret":"Geheim"}', '"secret"'),
        ("//nas/a /a cifs username=b,pass=Geheim,vers=3.0 0 0", "vers=3.0"),
        ("//nas/a /a cifs username=bob%Geheim,vers=3.0 0 0", "vers=3.0"),
    ],
)
def test_secrets_of_somebodys_own_lines_are_masked(line: str, kept: str):
    """Secrets of a proxy, in JSON, and of mount(8); the rest of the line is shown."""
    shown = "\n".join(difference("f", f"{line}\nold\n".encode(), f"{line}\nnew\n".encode()))
    assert "Geheim" not in shown
    assert kept in shown
    assert "\n-old\n+new" in shown


def test_other_bytes_than_text_are_named():
    """An umlaut in another encoding is shown in Python's notation; for a binary, only that it
    differs."""
    assert "+\\xfc" in difference("f", b"", b"\xfc\n")
    assert difference("f", b"", b"\0") == ("f: binary content differs",)
