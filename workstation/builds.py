"""Building a stack's images: the bake file, and what each image says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workstation.pins import Source
from workstation.stack import Service, Stack

_OCI = "org.opencontainers.image."


def labels(service: Service, sources: Mapping[str, Source], created: str) -> dict[str, str]:
    """Return an image's labels (github.com/opencontainers/image-spec, annotations.md).

    + sources: the pins' git sources; that of the service's name, if any, is what it is built from
    + created: when, as RFC 3339 says it
    """
    name, _, tag = service.image.rpartition(":")
    found = {
        f"{_OCI}title": name,
        f"{_OCI}version": tag,
        f"{_OCI}created": created,
        # The hash of all that went into it, which is part of the tag too.
        "workstation.inputs": tag.rpartition("-")[2],
    }
    if source := sources.get(service.name.replace("-", "_")):
        found |= {
            f"{_OCI}source": source.url.removesuffix(".git"),
            f"{_OCI}revision": source.commit,
        }
    return found


def bake_definition(
    stack: Stack,
    dockerfiles: Mapping[str, str],
    missing: Iterable[str],
    secrets: Iterable[str] = (),
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, object]:
    """Return the content of a bake file (docs.docker.com/build/bake/reference) that builds the
    services ``missing`` in one graph.

    A ``FROM`` of another service's image that is built in the same run becomes that target's
    result: a base is built once, and what does not depend on each other is built side by side.

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
        }
    return {"group": {"default": {"targets": sorted(services)}}, "target": targets}
