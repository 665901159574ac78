"""The mirror file: the places that downloads come from instead of their upstreams."""

from __future__ import annotations

from pathlib import Path

import pytest

from workstation import mirror
from workstation.errors import UserError
from workstation.mirror import Mirror

COMPLETE = """\
http: http://192.168.0.5/
registry: 192.168.0.5
insecure: true
pypi: http://192.168.0.5/pypi/simple
pins:
  downloads:
    ollama: {sha256: null}
stand_ins: ["ollama: answers, but has no models"]
"""


def load(folder: Path, text: str) -> Mirror:
    path = folder / "mirror.yml"
    path.write_text(text)
    return mirror.load(str(path))


def test_without_a_mirror_everything_keeps_its_own_address():
    """The setting is empty by default."""
    none = mirror.load("")
    assert none == Mirror()
    assert none.url("https://nvidia.github.io/x") == "https://nvidia.github.io/x"
    assert none.image("docker.io/louislam/dockge") == "docker.io/louislam/dockge"


def test_a_mirror_serves_everything_under_its_upstreams_name(tmp_path: Path):
    """https://HOST/PATH becomes {http}/HOST/PATH, an image {registry}/IMAGE."""
    loaded = load(tmp_path, COMPLETE)
    assert loaded.url("https://nvidia.github.io/x") == "http://192.168.0.5/nvidia.github.io/x"
    assert loaded.image("docker.io/louislam/dockge") == "192.168.0.5/docker.io/louislam/dockge"
    assert (loaded.insecure, loaded.npm) == (True, "")
    assert loaded.pins["downloads"]["ollama"] == {"sha256": None}
    assert len(loaded.stand_ins) == 1


def test_a_part_that_the_mirror_does_not_serve_comes_from_upstream(tmp_path: Path):
    """A mirror may be just a registry."""
    loaded = load(tmp_path, "registry: mirror:5000\n")
    assert loaded.url("https://pypi.org/simple") == "https://pypi.org/simple"
    assert loaded.image("docker.io/x/y") == "mirror:5000/docker.io/x/y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http: http://me:pw@m\n", "line 1: http is invalid, expected no password: anyone"),
        ("http: 192.168.0.5\n", "line 1: http is invalid, expected an address such as http://"),
        ("insecure: true\nregistry: http://m:5000\n", "line 2: registry is invalid"),
        ("insecure: perhaps\n", "line 1: insecure is invalid, expected a valid boolean"),
        ("registri: m\n", "line 1: registri is not a key of a mirror file (did you mean registry?"),
        ("pins:\n  images: [a]\n", "line 2: pins.images is invalid"),
        ("- a\n", "is not a mapping"),
        ("http: [a\n", "is not valid YAML"),
        ("http: http://a\nhttp: http://b\n", "line 2 sets http again"),
    ],
)
def test_a_wrong_mirror_file_is_one_sentence_with_its_line(
    tmp_path: Path, text: str, expected: str
):
    """It names the file, the line and the key."""
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "mirror.yml"))
    assert expected in message
    assert "\n" not in message


def test_a_missing_mirror_file_names_the_setting():
    """The path was given by the user; the error says where it is set."""
    with pytest.raises(
        UserError, match=r"^MIRROR points to /nowhere/mirror.yml, but there is no such file"
    ):
        mirror.load("/nowhere/mirror.yml")
