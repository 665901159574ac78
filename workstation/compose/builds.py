"""Building a stack's images: the bake file, and the labels of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from workstation.pins import Source
from workstation.stack import Service, Stack

_OCI = "org.opencontainers.image."


INPUTS = "workstation.inputs"


def labels(
    service: Service, sources: Mapping[str, Source], created: str, inputs: str = ""
) -> dict[str, str]:
    """Return an image's labels (github.com/opencontainers/image-spec, annotations.md).

    + sources: the pinned git sources; one with the service's name is what it is built from
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
    if source := sources.get(service.name.replace("-", "_")):
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
        bases = [
            word
            for line in dockerfiles[name].splitlines()
            if line.upper().startswith("FROM ")
            for word in line.split()[1:]
            if word in by_image and word != service.image
        ]
        targets[name] = {
            "context": service.build,
            "tags": [service.image],
            "contexts": {image: f"target:{by_image[image]}" for image in sorted(set(bases))},
            "secret": list(secrets),
            "labels": dict((labels or {}).get(name, {})),
            "output": [_OUTPUT],
        }
    return {"group": {"default": {"targets": sorted(services)}}, "target": targets}
