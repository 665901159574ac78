"""References of images (github.com/distribution/reference), and how Docker lists them."""

from __future__ import annotations


def parts(reference: str) -> tuple[str, str, str]:
    """Return the name with its registry, the tag and the digest; missing parts are empty."""
    rest, _, digest = reference.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag, digest


def familiar(reference: str) -> str:
    """Return a reference as the Engine lists it: without ``docker.io/library/`` or ``docker.io/``,
    and with either a digest or a tag."""
    name, tag, digest = parts(reference)
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return f"{name}@{digest}" if digest else f"{name}:{tag or 'latest'}"


def is_traefik(reference: str) -> bool:
    """Whether an image is Traefik, from any registry."""
    return parts(reference)[0].rpartition("/")[2] == "traefik"
