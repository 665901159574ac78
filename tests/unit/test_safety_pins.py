"""A pin is exact: nothing that could be replaced on the way, or later, counts as a pin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_templates import ROOT, render
from workstation import pins
from workstation.errors import UserError
from workstation.mirror import Mirror

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
    for mirror in (Mirror(), Mirror(registry="m:5000"), Mirror(registry="m", insecure=True)):
        assert image.ref(mirror).endswith(f":{image.tag}@sha256:{HEX}")


def test_every_repository_that_is_shipped_has_its_key():
    """All 40 digits, and each key only once."""
    found = pins.load(ROOT / "pins.yml").apt
    assert found
    assert len({one.fingerprint for one in found.values()}) == len(found)
    for one in found.values():
        assert len(one.fingerprint) == 40


PLAIN = Mirror(http="http://m", registry="m:5000", insecure=True, pypi="http://m/simple")
TLS = Mirror(http="https://m", registry="m:5000", pypi="https://m/simple")


def test_nothing_that_anyone_on_the_network_could_replace_is_fetched(tmp_path: Path):
    """Over plain HTTP, an image without a digest or a file without a checksum is whatever the
    fastest answer says."""
    image = load(tmp_path, "images", "traefik", digest=None).images["traefik"]
    file = load(tmp_path, "downloads", "ollama", sha256=None).downloads["ollama"]
    with pytest.raises(UserError, match=r"library/traefik:\S+ has no digest .* plain HTTP") as one:
        image.ref(PLAIN)
    with pytest.raises(UserError, match=r"http://m/github.com/\S+ has no sha256 in pins") as two:
        file.fetched_from(PLAIN)
    for caught in (one, two):
        assert "\n" not in str(caught.value)
        assert "`trusted: true`" in str(caught.value)
    for mirror in (Mirror(), TLS, PLAIN.model_copy(update={"trusted": True})):
        assert image.ref(mirror).endswith(image.tag)
        assert file.fetched_from(mirror).startswith("http")


def test_with_a_digest_and_a_checksum_any_mirror_will_do(tmp_path: Path):
    """They are checked wherever the content comes from."""
    image = load(tmp_path, "images", "traefik", digest=f"sha256:{HEX}").images["traefik"]
    file = load(tmp_path, "downloads", "ollama", sha256=HEX).downloads["ollama"]
    assert image.ref(PLAIN).startswith("m:5000/docker.io/")
    assert file.fetched_from(PLAIN).startswith("http://m/github.com/")


def test_a_stack_is_not_rendered_with_an_image_that_could_be_replaced():
    """So no task pulls it, with or without preflight."""
    with pytest.raises(UserError, match=r"has no digest in pins.yml, and the mirror speaks plain"):
        render("dhoch3", mirror=PLAIN)


def pinned() -> dict[str, dict[str, Any]]:
    """Return an overlay that gives every image a digest."""
    return {"images": {key: {"digest": f"sha256:{HEX}"} for key in pins.load().images}}


def dockerfiles(mirror: Mirror) -> dict[str, str]:
    given = mirror.model_copy(update={"pins": pinned()})
    return {
        service.name: stack.dockerfile(service)
        for name in ("dhoch3", "knowledge-center")
        for stack in [render(name, mirror=given)]
        for service in stack.model.built
    }


@pytest.mark.parametrize("mirror", [Mirror(), TLS, PLAIN])
def test_packages_of_images_are_those_that_were_locked(mirror: Mirror):
    """uv compares each with its hash, whatever index it comes from; tried with uv 0.13 and an index
    that has other files under the same names."""
    found = dockerfiles(mirror)
    assert len(found) == 6
    for name, text in found.items():
        (line,) = [line for line in text.splitlines() if "--requirements /tmp/" in line]
        assert "uv pip install --no-deps --require-hashes --requirements" in line, name
        # Prisma's engines are only compared with a list from the same server.
        prisma = "PRISMA_ENGINES_MIRROR" in text
        assert prisma == (name == "ai-toolkit" and mirror is TLS), name


def test_only_a_trusted_mirror_may_have_packages_of_its_own():
    """Such as the lab's stand-ins, which are empty."""
    for text in dockerfiles(PLAIN.model_copy(update={"trusted": True})).values():
        assert "--no-verify-hashes" in text
        assert "--require-hashes --requirements /tmp/requirements.lock" not in text


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("templates/stacks/*/*/requirements.lock")),
    ids=lambda one: one.parent.name,
)
def test_every_package_of_a_lock_has_its_hashes(path: Path):
    """One without would be refused by uv."""
    entries = re.split(r"\n(?=\S)", path.read_text().strip())[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), (
            entry
        )
