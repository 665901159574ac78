"""A pin is exact: nothing that could be replaced on the way, or later, counts as a pin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workstation import pins
from workstation.errors import UserError

ROOT = Path(__file__).parents[2]
HEX = "0123456789abcdef" * 4


def load(tmp_path: Path, section: str, key: str, **changes: Any) -> pins.Pins:
    """Load the shipped pins with changes of one entry."""
    content = yaml.safe_load((ROOT / "pins.yml").read_text())
    content[section][key] |= changes
    file = tmp_path / "pins.yml"
    file.write_text(yaml.safe_dump(content))
    return pins.load(file)


@pytest.mark.parametrize(
    ("section", "key", "changes"),
    [
        ("downloads", "ollama", {"url": "http://github.com/x-{version}.tar.zst"}),
        ("downloads", "ollama", {"url": "file:///x-{version}.tar.zst"}),
        ("downloads", "ollama", {"sha256": HEX[:63]}),
        ("downloads", "ollama", {"sha256": "md5:" + HEX[:32]}),
        ("downloads", "ollama", {"sha256": ""}),
        ("sources", "fooocus", {"commit": "main"}),
        ("sources", "fooocus", {"commit": HEX[:12]}),
        ("sources", "fooocus", {"url": "http://github.com/a/b.git"}),
        ("sources", "fooocus", {"url": "git@github.com:a/b.git"}),
        ("images", "traefik", {"digest": "latest"}),
        ("images", "traefik", {"digest": f"sha256:{HEX[:63]}"}),
        ("images", "traefik", {"digest": ""}),
        ("images", "traefik", {"name": "traefik"}),
        ("apt", "docker", {"fingerprint": "0EBFCD88"}),
        ("apt", "docker", {"fingerprint": "8D81803C0EBFCD88"}),
        ("apt", "docker", {"key_url": "http://download.docker.com/linux/ubuntu/gpg"}),
        ("apt", "docker", {"uri": "http://download.docker.com/linux/ubuntu"}),
    ],
)
def test_what_could_be_exchanged_is_refused(
    tmp_path: Path, section: str, key: str, changes: dict[str, Any]
):
    """A branch, a short key id, half a checksum, an address without TLS."""
    (name,) = changes
    with pytest.raises(UserError, match=rf"{section}\.{key}\.{name} is "):
        load(tmp_path, section, key, **changes)


def test_what_is_pinned_by_digest_is_pulled_by_it(tmp_path: Path):
    """No matter what was pushed under the same tag; from a mirror too."""
    image = load(tmp_path, "images", "traefik", digest=f"sha256:{HEX}").images["traefik"]
    for registry in ("", "m:5000"):
        assert image.ref(registry).endswith(f":{image.tag}@sha256:{HEX}")


def test_every_repository_that_is_shipped_has_its_key():
    """All 40 digits, and each key only once."""
    found = pins.load(ROOT / "pins.yml").apt
    assert found
    assert len({one.fingerprint for one in found.values()}) == len(found)
    for one in found.values():
        assert len(one.fingerprint) == 40
