"""Building a stack's images: the bake file, and the labels of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from workstation.pins import Pins, Source
from workstation.stack import Service, Stack

_OCI = "org.opencontainers.image."


INPUTS = "workstation.inputs"


def origin(name: str, used: Iterable[str], pins: Pins) -> str:
    """Return the pin that gives an image its version, as ``section.key``; empty if there is none.

    It is the pinned image with the name of its folder, if that uses it; or the only git source that
    the folder uses; or the source or download with its name.

    + name: the folder's
    + used: the pins that the folder itself uses, as ``section.key``
    """
    key = name.replace("-", "_")
    sources = [one for one in used if one.startswith("sources.")]
    if f"images.{key}" in used:
        return f"images.{key}"
    if len(sources) == 1:
        return sources[0]
    if key in pins.sources:
        return f"sources.{key}"
    return f"downloads.{key}" if key in pins.downloads else ""


def labels(
    service: Service, source: Source | None, created: str, inputs: str = ""
) -> dict[str, str]:
    """Return an image's labels (github.com/opencontainers/image-spec, annotations.md).

    + source: the pinned git source that it is built from, see :func:`origin`
    + created: time in the format of RFC 3339
    + inputs: what goes into it, as returned by ``listing``
    """
    name, _, tag = service.image.rpartition(":")
    found = {
        f"{_OCI}title": name,
        f"{_OCI}version": tag,
        f"{_OCI}created": created,
        "workstation.hash": tag.rpartition("-")[2],
        INPUTS: inputs,
    }
    if source:
        found |= {
            f"{_OCI}source": source.url.removesuffix(".git"),
            f"{_OCI}revision": source.commit,
        }
    return found


def listing(files: Mapping[str, bytes]) -> str:
    """Return one line with the files of a build context, each with eight digits of its hash."""
    return " ".join(
        f"{path}={hashlib.sha256(content).hexdigest()[:8]}"
        for path, content in sorted(files.items())
    )


def changed_inputs(before: str, after: str) -> list[str]:
    """Return the paths that differ between two listings; empty if there is nothing to compare."""
    if not before:
        return []
    old, new = (
        dict(part.rpartition("=")[::2] for part in text.split()) for text in (before, after)
    )
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def bases(dockerfile: str, images: Iterable[str]) -> set[str]:
    """Return those of ``images`` that a Dockerfile begins a stage with. There may be options before
    the name."""
    return {
        word
        for line in dockerfile.splitlines()
        if line.upper().startswith("FROM ")
        for word in line.split()[1:]
    } & {*images}


# containerd's image store keeps layers compressed, with gzip by default: Engine 28.5 took 25
# seconds for 850 MB on two cores, and 14 with zstd, which also made them smaller. Engines that keep
# layers unpacked do not compress them, and ignore this (26.1 with Buildx 0.13).
_OUTPUT = "type=image,compression=zstd"


def bake_definition(
    stack: Stack,
    dockerfiles: Mapping[str, str],
    missing: Iterable[str],
    secrets: Iterable[str] = (),
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, object]:
    """Return the content of a bake file (docs.docker.com/build/bake/reference) that builds the
    services ``missing`` in one graph.

    A ``FROM`` with the image of another service built in the same run refers to that target's
    result: a base is built only once, and independent images are built in parallel.

    + dockerfiles: service name -> its Dockerfile
    + secrets: BuildKit secrets, such as ``id=ca,src=/etc/ssl/ca.crt``
    + labels: service name -> the labels of its image
    """
    services = {service.name: service for service in stack.built if service.name in set(missing)}
    by_image = {service.image: name for name, service in services.items()}
    targets = {}
    for name, service in services.items():
        found = bases(dockerfiles[name], by_image) - {service.image}
        targets[name] = {
            "context": service.build,
            "tags": [service.image],
            "contexts": {image: f"target:{by_image[image]}" for image in sorted(found)},
            "secret": list(secrets),
            "labels": dict((labels or {}).get(name, {})),
            "output": [_OUTPUT],
        }
    return {"group": {"default": {"targets": sorted(services)}}, "target": targets}
