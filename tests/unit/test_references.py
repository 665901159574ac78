"""References of images: their parts, in the Engine's form, and how to recognize Traefik."""

from __future__ import annotations

import pytest

from workstation.docker.references import familiar, is_traefik, parts


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("docker.io/library/nginx:1", "nginx:1"),
        ("docker.io/louislam/dockge:1.5.0", "louislam/dockge:1.5.0"),
        ("ghcr.io/invoke-ai/invokeai:v6", "ghcr.io/invoke-ai/invokeai:v6"),
        ("dhoch3/fooocus:2.5.5-0123456789ab", "dhoch3/fooocus:2.5.5-0123456789ab"),
        ("docker.io/library/nginx:1@sha256:ab", "nginx@sha256:ab"),
        ("docker.io/library/nginx@sha256:ab", "nginx@sha256:ab"),
        ("localhost:5000/a/b:1@sha256:ab", "localhost:5000/a/b@sha256:ab"),
        ("localhost:5000/a/b@sha256:ab", "localhost:5000/a/b@sha256:ab"),
        ("192.168.0.5/docker.io/library/nginx:1", "192.168.0.5/docker.io/library/nginx:1"),
    ],
)
def test_references_in_the_engines_form(reference: str, expected: str):
    """The form of RepoTags and RepoDigests in `docker image inspect`."""
    assert familiar(reference) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nginx", ("nginx", "", "")),
        ("nginx:1@sha256:ab", ("nginx", "1", "sha256:ab")),
        ("localhost:5000/a/b", ("localhost:5000/a/b", "", "")),
        ("localhost:5000/a/b:1", ("localhost:5000/a/b", "1", "")),
        ("", ("", "", "")),
    ],
)
def test_the_parts_of_a_reference(reference: str, expected: tuple[str, str, str]):
    """A registry's port is not a tag."""
    assert parts(reference) == expected


@pytest.mark.parametrize(
    "image", ["traefik:v3", "192.168.0.5:80/docker.io/library/traefik@sha256:0"]
)
def test_a_traefik_is_known_by_its_image(image: str):
    """From any registry."""
    assert is_traefik(image)


@pytest.mark.parametrize("image", ["traefik/whoami:v1", "nginx:1", "me/traefik-errors", "sha256:1"])
def test_others_are_no_traefik(image: str):
    """Although their names begin the same."""
    assert not is_traefik(image)
