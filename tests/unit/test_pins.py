"""Pins: accepted forms, a mirror's overlay, and the comments that Renovate needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from workstation import pins
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.pins import Pins

ROOT = Path(__file__).parents[2]
HEX = "0123456789abcdef" * 4
COMMIT = "59f183ab9b8e" + HEX[:28]
COMPLETE = f"""\
images:
  dockge:
    name: docker.io/louislam/dockge
    tag: "1.5.0"
    digest: null
  traefik: {{name: docker.io/library/traefik, tag: v3.7.9, digest: "sha256:{HEX}"}}
sources:
  fooocus: {{url: https://github.com/lllyasviel/Fooocus.git, commit: {COMMIT}, version: "2.5.5"}}
downloads:
  ollama:
    url: https://github.com/ollama/ollama/releases/download/v{{version}}/ollama-linux-amd64.tar.zst
    version: 0.32.15
    sha256: {HEX}
apt:
  nvidia:
    key_url: https://nvidia.github.io/libnvidia-container/gpgkey
    fingerprint: C95B 321B 61E8 8C18 09C4 F759 DDCA E044 F796 ECB0
    uri: https://nvidia.github.io/libnvidia-container/stable/deb/amd64
    suite: /
    components: ""
    version: 1.20.0-1
"""


def load(folder: Path, text: str = COMPLETE, **overlay: Any) -> Pins:
    path = folder / "pins.yml"
    path.write_text(text)
    return pins.load(path, overlay)


def refusal(folder: Path, text: str = COMPLETE, **overlay: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, text, **overlay)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_an_image_is_referred_to_by_tag_and_where_known_by_digest(tmp_path: Path):
    """With a mirror's registry in front."""
    images = load(tmp_path).images
    assert images["dockge"].ref() == "docker.io/louislam/dockge:1.5.0"
    assert (
        images["traefik"].ref(Mirror(registry="192.168.0.5"))
        == f"192.168.0.5/docker.io/library/traefik:v3.7.9@sha256:{HEX}"
    )


def test_a_downloads_address_has_its_version_filled_in(tmp_path: Path):
    """An update changes a single place."""
    ollama = load(tmp_path).downloads["ollama"]
    assert ollama.url.endswith("/download/v0.32.15/ollama-linux-amd64.tar.zst")
    assert ollama.sha256 == HEX


def test_a_fingerprint_may_be_written_in_groups(tmp_path: Path):
    """gpg prints it that way; spaces are ignored."""
    nvidia = load(tmp_path).apt["nvidia"]
    assert nvidia.fingerprint == "C95B321B61E88C1809C4F759DDCAE044F796ECB0"


def test_what_a_build_needs_of_a_gpu_may_be_said(tmp_path: Path):
    """Images and sources can state it, and are found by the key that the renderer uses; most need
    nothing."""
    gpu = 'cuda: "12.8", compute: 7.5-12.0'
    text = COMPLETE.replace("tag: v3.7.9,", f"tag: v3.7.9, {gpu},")
    text = text.replace('version: "2.5.5"}', f'version: "2.5.5", {gpu}}}')
    loaded = load(tmp_path, text)
    for key in ("images.traefik", "sources.fooocus"):
        build = loaded.build(key)
        assert (build.cuda, build.compute) == ("12.8", "7.5-12.0")
    dockge = loaded.build("images.dockge")
    assert (dockge.cuda, dockge.compute) == (None, None)


def test_a_mirrors_overlay_may_change_what_a_build_needs_of_a_gpu(tmp_path: Path):
    """A rebuilt image may use another CUDA."""
    loaded = load(tmp_path, images={"traefik": {"cuda": "13.0", "compute": "7.5-12.1"}})
    assert loaded.images["traefik"].cuda == "13.0"
    assert "images.traefik.cuda is '13'" in refusal(tmp_path, images={"traefik": {"cuda": "13"}})


def test_a_mirrors_overlay_changes_single_fields(tmp_path: Path):
    """Fields that it does not mention stay; null removes a digest."""
    loaded = load(
        tmp_path,
        images={"traefik": {"digest": None}},
        downloads={"ollama": {"sha256": "f" * 64}},
    )
    assert loaded.images["traefik"].ref() == "docker.io/library/traefik:v3.7.9"
    assert loaded.downloads["ollama"].sha256 == "f" * 64
    assert loaded.downloads["ollama"].version == "0.32.15"


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ({"image": {}}, "the section image, which is not in pins.yml (did you mean images?)"),
        ({"images": {"dokge": {}}}, "pins.images.dokge is not in pins.yml (did you mean dockge?)"),
        ({"images": {"dockge": {"digest": "x"}}}, "The mirror's pins: images.dockge.digest is 'x'"),
        ({"images": {"dockge": {"tagg": "x"}}}, "images.dockge.tagg is unknown"),
    ],
)
def test_a_wrong_overlay_says_that_it_is_the_mirrors(
    tmp_path: Path, overlay: dict[str, Any], expected: str
):
    """The pins file itself is fine then."""
    assert expected in refusal(tmp_path, **overlay)


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        (
            'tag: "1.5.0"',
            "tag: 1.10",
            4,
            "images.dockge.tag is 1.1, expected text: put it in quote",
        ),
        ("digest: null", "digest: sha256:abc", 5, "expected sha256: and 64 hexadecimal digits"),
        ("name: docker.io/louislam/dockge", "name: Dockge", 3, "a name with its registry"),
        (
            "digest: null",
            "digest: null\n    cuda: 12.8",
            6,
            "cuda is 12.8, expected text: put it in",
        ),
        (
            "digest: null",
            'digest: null\n    cuda: "12"',
            6,
            "a CUDA version from 11.0, such as 12.8",
        ),
        ("digest: null", 'digest: null\n    cuda: "10.2"', 6, "a CUDA version from 11.0"),
        ("digest: null", "digest: null\n    compute: sm_75", 6, "lowest and highest compute capab"),
        ("digest: null", "digest: null\n    compute: 12.0-7.5", 6, "such as 7.5-12.0"),
        ("digest: null", "digest: null\n    comput: 7.5-12.0", 6, "did you mean compute?"),
        ("    digest: null\n", "", 2, "images.dockge.digest is missing"),
        ('    tag: "1.5.0"', '    tagg: "1.5.0"', 4, "did you mean tag?"),
        (COMMIT, "abc1234", 8, "expected a full commit id"),
        (f"sha256: {HEX}", "sha256: abc", 13, "expected 64 hexadecimal digits, or null"),
        ("v{version}/", "v{versoin}/", 11, "no placeholder other than {version}"),
        ("uri: https", "uri: http", 18, "expected an https:// address"),
        ("C95B 321B", "C95B", 17, "40 hexadecimal digits of an OpenPGP fingerprint"),
        ("sources:", "source:", 7, "source is unknown (did you mean sources?)"),
        ("  dockge:", "  traefik:", 6, "sets traefik again"),
        ("images:", "images: [", 3, "is not valid YAML"),
        ("\n  nvidia:", "\n\tnvidia:", 15, "is not valid YAML"),
    ],
)
def test_a_wrong_pin_is_one_sentence_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, expected: str
):
    """It names the file, the line, the pin and the expected form."""
    assert old in COMPLETE
    message = refusal(tmp_path, COMPLETE.replace(old, new, 1))
    assert expected in message
    assert message.startswith(f"{tmp_path / 'pins.yml'} line {line}")


def test_an_unreadable_file_is_one_sentence(tmp_path: Path):
    """Missing, in another encoding, or empty."""
    with pytest.raises(UserError, match=r"pins.yml cannot be read: No such file"):
        pins.load(tmp_path / "pins.yml")
    (tmp_path / "pins.yml").write_bytes(b"images: \xe4")
    with pytest.raises(UserError, match="not UTF-8"):
        pins.load(tmp_path / "pins.yml")
    assert "images is missing" in refusal(tmp_path, "")
    assert "is not valid YAML" in refusal(tmp_path, "a: \x00\n")


def renovate_matches(text: str) -> list[str]:
    """Return the matches of Renovate's regex managers (ECMAScript writes (?<x>) for Python's
    (?P<x>))."""
    managers = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    return [
        match.group()
        for manager in managers
        for pattern in manager["matchStrings"]
        for match in re.finditer(pattern.replace("(?<", "(?P<"), text)
    ]


def test_renovate_finds_a_mark_above_an_entry_and_above_its_version():
    """Both styles of YAML may be used in pins.yml."""
    text = f"""
  # renovate: datasource=docker depName=docker.io/louislam/dockge
  dockge: {{name: docker.io/louislam/dockge, tag: "1.5.0", digest: null}}
  ollama:
    url: https://example.org/v{{version}}
    # renovate: datasource=github-releases depName=ollama/ollama extractVersion=^v(?<version>.+)$
    version: 0.32.15
  # renovate: datasource=git-refs depName=fooocus packageName=https://github.com/l/F branch=main
  fooocus: {{url: https://github.com/l/F.git, commit: {COMMIT}, version: "2.5.5"}}
"""
    matches = renovate_matches(text)
    assert [match.splitlines()[-1].split()[-1] for match in matches] == ["null", "0.32.15", COMMIT]


def test_the_pins_of_the_repository_load_and_every_mark_is_found():
    """The shipped pins.yml is well-formed, and Renovate will see each entry that has a comment."""
    loaded = pins.load(ROOT / "pins.yml")
    assert {"dockge", "traefik"} <= set(loaded.images)
    gpu = {key for key in loaded.images if loaded.images[key].compute}
    gpu |= {key for key in loaded.sources if loaded.sources[key].compute}
    assert gpu == {
        *("comfyui", "comfyui_nvidia", "invokeai"),
        *("fooocus", "forge", "fluxgym", "ai_toolkit", "vllm", "cuda", "triton", "chat_to_3d"),
    }
    text = (ROOT / "pins.yml").read_text()
    assert len(renovate_matches(text)) == text.count("# renovate:")
