"""Check the servers that a run downloads from: which ones it needs, and whether they answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workstation.findings import Finding
from workstation.mirror import Mirror
from workstation.pins import Pins
from workstation.rendered import RenderedStack
from workstation.settings import Settings
from workstation.stack import Service

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.surroundings import Answer

PACKAGES = "packages"
"""What image builds install in addition to the pins: from Debian, PyPI and npm."""

# Fetched by the Engine itself, not by a command in a build or on the host.
_BY_ENGINE = ("images.", "sources.")

# docker.io is only a name, not a server (github.com/distribution/reference).
_REGISTRIES = {"docker.io": "registry-1.docker.io"}
# files.pythonhosted.org serves the files that pypi.org lists; AI-Toolkit needs Prisma's engines.
_PYPI = ("https://pypi.org/simple/", "https://files.pythonhosted.org/")
_NPM = "https://registry.npmjs.org/"
_DEBIAN, _PRISMA = "http://deb.debian.org/debian/", "https://binaries.prisma.sh/"


@dataclass(frozen=True)
class Upstream:
    """A server that something is fetched from: an address that shows whether it answers, and what
    is fetched there, as ``section.key`` of the pins or ``PACKAGES``."""

    address: str
    uses: frozenset[str]

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def named(self) -> bool:
        """Whether its address is a name, which DNS must resolve."""
        try:
            ipaddress.ip_address(urlsplit(self.address).hostname or "")
        except ValueError:
            return True
        return False

    def lets_in(self, answer: Answer) -> bool:
        """Whether an answer shows that the server can be used: a registry first answers with 401,
        a root without a page with 404; filters and proxies answer with 403 and 407."""
        refused = {"403", "407", *(["404"] if self.address.endswith("/v2/") else [])}
        return answer.step == "http" and answer.detail < "500" and answer.detail not in refused


def upstreams(pins: Pins, mirror: Mirror, settings: Settings) -> list[Upstream]:
    """Return the servers that runs with these pins and settings download from, each once.

    The distribution's own apt sources are not included, because only the host knows them.
    """
    by_server: dict[tuple[str, str | None, int | None], Upstream] = {}
    for use, address in _addresses(pins, mirror, settings):
        parts = urlsplit(address)
        server = parts.scheme, parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443)
        known = by_server.get(server, Upstream(address, frozenset()))
        by_server[server] = Upstream(known.address, known.uses | {use})
    return list(by_server.values())


def _addresses(pins: Pins, mirror: Mirror, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what is fetched, with an address on its server that always answers."""
    for key, image in pins.images.items():
        yield f"images.{key}", _registry(image.name, mirror)
    unused = {"nvidia": settings.gpu == "none", "docker": settings.docker_source == "distribution"}
    for key, repository in pins.apt.items():
        if not unused.get(key):
            yield f"apt.{key}", mirror.url(repository.key_url)
    for key, download in pins.downloads.items():
        yield f"downloads.{key}", _root(mirror.url(download.url))
    for key, source in pins.sources.items():
        yield f"sources.{key}", _root(mirror.url(source.url))
    for address in [f"{mirror.pypi}/"] if mirror.pypi else _PYPI:
        yield PACKAGES, address
    yield PACKAGES, f"{mirror.npm}/" if mirror.npm else _NPM
    # Debian's packages are signed.
    for address in (mirror.url(_DEBIAN), mirror.unchecked_url(_PRISMA)):
        yield PACKAGES, address


def _registry(name: str, mirror: Mirror) -> str:
    """Return the address where a registry answers with 200 or 401 (distribution-spec, end-1)."""
    if mirror.registry:
        scheme = "http" if mirror.insecure else "https"
        return f"{scheme}://{mirror.registry.partition('/')[0]}/v2/"
    host = name.partition("/")[0]
    return f"https://{_REGISTRIES.get(host, host)}/v2/"


def _root(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/"


def fetched(
    pins: Pins,
    mirror: Mirror,
    missing: Iterable[tuple[RenderedStack, list[Service]]],
    others: Mapping[str, bool],
) -> frozenset[str]:
    """Return what this run will fetch, in the form of ``Upstream.uses``.

    + missing: each stack, with its services whose image is not on the host
    + others: ``section.key`` of the pins -> whether it will be fetched
    """
    uses = {use for use, needed in others.items() if needed}
    for stack, services in missing:
        lacking = {service.image for service in services}
        run_as_they_are = {one.image for one in stack.model.wanted if not one.build}
        builds = any(service.build for service in services)
        for key in stack.pins_used:
            section, _, name = key.partition(".")
            if section == "images":
                image = pins.images[name].ref(mirror)
                if image in lacking or (builds and image not in run_as_they_are):
                    uses.add(key)
            elif builds:
                uses.add(key)
        if builds:
            uses.add(PACKAGES)
    return frozenset(uses)


def pin_findings(pins: Pins, used: Iterable[str]) -> Iterator[Finding]:
    """Yield whether the content of everything that is used is pinned.

    + used: ``section.key`` of the pins
    """
    missing = {
        **{f"images.{key}": "digest" for key, one in pins.images.items() if not one.digest},
        **{f"downloads.{key}": "sha256" for key, one in pins.downloads.items() if not one.sha256},
    }
    lacking = [f"{key} has no {missing[key]}" for key in sorted({*used} & missing.keys())]
    yield Finding(
        "pins",
        not lacking,
        f"{', '.join(lacking)}: their servers decide what is installed, today and after each change"
        if lacking
        else "everything that is used is pinned by its content",
        "fill them in (the beginning of pins.yml says how)",
        note=True,
        id="pins-incomplete",
    )


def upstream_findings(
    servers: Iterable[Upstream],
    wanted: frozenset[str],
    answers: Mapping[str, Answer],
    mirrored: bool,
    engine_proxied: bool,
) -> Iterator[Finding]:
    """Yield whether each server can be reached.

    A server is only a note if this run fetches nothing from it, or if only the Engine does so,
    through a proxy of its own.

    + wanted: what this run fetches, see :func:`fetched`
    + answers: by address
    + mirrored: whether there is a mirror
    + engine_proxied: whether the Engine uses a proxy of its own
    """
    known = [one for one in servers if one.address in answers]
    if not known:
        yield Finding(
            "upstreams",
            False,
            "they could not be tried, because python3 is not installed on the host",
            "install python3 on the host",
            note=True,
            id="upstreams-not-tried",
        )
        return

    def needed(one: Upstream) -> bool:
        uses = one.uses & wanted
        return any(not (engine_proxied and use.startswith(_BY_ENGINE)) for use in uses)

    lost = [one for one in known if answers[one.address].step == "name"]
    if lost:
        said = answers[lost[0].address].detail
        names = ", ".join(sorted(one.host for one in lost))
        yield Finding(
            "DNS",
            False,
            f"{names} cannot be resolved ({said})",
            "correct the host's name server (`resolvectl status` shows it)" + _or_mirror(mirrored),
            note=not any(needed(one) for one in lost),
            id="dns-lookup",
        )
    elif any(one.named for one in known):
        yield Finding("DNS", True, "all upstream names resolve", id="dns-lookup")
    for one in known:
        answer = answers[one.address]
        if one not in lost:
            yield Finding(
                f"upstream {one.host}",
                one.lets_in(answer),
                _said(answer) + ("" if needed(one) else "; this run needs nothing from there"),
                _fix(answer) + _or_mirror(mirrored),
                note=not needed(one),
                id="upstream-unreachable",
            )


def _said(answer: Answer) -> str:
    return {
        "http": f"it answers with HTTP {answer.detail}",
        "tls": f"its certificate is not trusted ({answer.detail})",
    }.get(answer.step, f"it cannot be reached ({answer.detail})")


def _fix(answer: Answer) -> str:
    if answer.step == "tls":
        return (
            "set CA_BUNDLE to the CA certificate of the proxy that re-signs TLS in your network, "
            "and check the host's clock"
        )
    if answer.step == "http":
        return "find out what answers there: the server itself, or a proxy or filter in between"
    return "check that the host has a route there (`ip route`) and that no firewall blocks it"


def _or_mirror(mirrored: bool) -> str:
    return ", or correct the file that MIRROR names" if mirrored else ", or set MIRROR"
