"""Downloads of a run, their servers, and findings about servers that do not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import settings
from workstation import pins as pin_files
from workstation.facts.surroundings import Answer
from workstation.findings import Finding, failed, noted
from workstation.mirror import Mirror
from workstation.pins import Pins
from workstation.preflight.upstreams import (
    PACKAGES,
    Upstream,
    fetched,
    pin_findings,
    upstream_findings,
    upstreams,
)
from workstation.rendered import RenderedStack
from workstation.stack import Service, parse

ROOT = Path(__file__).parents[2]
PINS = pin_files.load(ROOT / "pins.yml")
LAB = Mirror(
    http="http://192.168.0.5:80",
    registry="192.168.0.5:80",
    insecure=True,
    trusted=True,
    pypi="http://192.168.0.5:80/pypi/simple",
    npm="http://192.168.0.5:80/npm",
)
OK = Answer("http", "200")


def uses(mirror: Mirror | None = None, **changes: Any) -> dict[str, frozenset[str]]:
    found = upstreams(PINS, mirror or Mirror(), settings(**changes))
    return {one.address: one.uses for one in found}


def test_each_server_is_asked_once_for_all_that_comes_from_there():
    """Everything in pins.yml, and the packages that image builds install."""
    found = uses()
    assert found["https://registry-1.docker.io/v2/"] >= {"images.comfyui", "images.traefik"}
    assert found["https://ghcr.io/v2/"] == {"images.invokeai", "images.open_webui", "images.uv"}
    assert found["https://github.com/"] >= {"downloads.ollama", "sources.fooocus"}
    assert found[PINS.apt["nvidia"].key_url] == {"apt.nvidia"}
    assert found[PINS.apt["docker"].key_url] == {"apt.docker"}
    assert {address for address, used in found.items() if PACKAGES in used} == {
        "https://pypi.org/simple/",
        "https://files.pythonhosted.org/",
        "https://registry.npmjs.org/",
        "http://deb.debian.org/debian/",
        "https://binaries.prisma.sh/",
    }
    assert {use for used in found.values() for use in used} == {
        PACKAGES,
        *(
            f"{section}.{key}"
            for section in ("images", "sources", "downloads", "apt")
            for key in getattr(PINS, section)
        ),
    }


def test_with_a_mirror_only_its_address_is_asked():
    """If its address is a number, no name is looked up either."""
    (address,) = uses(LAB)
    assert address == "http://192.168.0.5:80/v2/"
    assert Upstream(address, frozenset()).host == "192.168.0.5:80"
    assert not Upstream(address, frozenset()).named


def test_a_mirror_of_images_alone_leaves_the_rest_upstream():
    """Every key of a mirror file is optional."""
    found = uses(Mirror(registry="mirror.lan:5000/proxy"))
    assert found["https://mirror.lan:5000/v2/"] >= {"images.comfyui", "images.uv"}
    assert "https://github.com/" in found
    assert not any("docker.io" in address for address in found)


@pytest.mark.parametrize(
    ("changes", "unused"),
    [({"gpu": "none"}, "apt.nvidia"), ({"docker_source": "distribution"}, "apt.docker")],
)
def test_what_the_settings_leave_out_is_not_asked(changes: dict[str, Any], unused: str):
    """A host without a GPU does not need NVIDIA's server."""
    assert unused in {use for used in uses().values() for use in used}
    assert unused not in {use for used in uses(**changes).values() for use in used}


COMPOSE = f"""\
name: s
services:
  dockge: {{image: "{PINS.images["dockge"].ref()}"}}
  comfyui: {{image: "{PINS.images["comfyui"].ref()}"}}
  fooocus: {{image: "s/fooocus:1", build: ./fooocus}}
"""
STACK = RenderedStack(
    parse(COMPOSE, "/opt/s"),
    "/opt/s",
    {},
    frozenset({"images.dockge", "images.comfyui", "images.python", "sources.fooocus"}),
)


def lacking(*names: str) -> list[Service]:
    return [service for service in STACK.model.services if service.name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), set()),
        (("dockge",), {"images.dockge"}),
        (("fooocus",), {"images.python", "sources.fooocus", PACKAGES}),
        (
            ("dockge", "fooocus"),
            {"images.dockge", "images.python", "sources.fooocus", PACKAGES},
        ),
    ],
)
def test_only_what_is_missing_is_fetched(names: tuple[str, ...], expected: set[str]):
    """A build downloads its sources, packages, and the images it starts from."""
    assert fetched(PINS, Mirror(), [(STACK, lacking(*names))], {"apt.docker": False}) == expected


def test_other_downloads_are_fetched_if_their_caller_says_so():
    """Packages and releases are not images."""
    others = {"apt.docker": True, "downloads.ollama": False}
    assert fetched(PINS, Mirror(), [], others) == {"apt.docker"}


def test_images_of_a_mirror_are_known_by_their_pins():
    """Their references begin with the mirror's registry."""
    image = PINS.images["dockge"].ref(LAB)
    stack = RenderedStack(
        parse(f"name: s\nservices: {{dockge: {{image: '{image}'}}}}"),
        "/opt/s",
        {},
        frozenset({"images.dockge"}),
    )
    missing = [(stack, list(stack.model.services))]
    assert fetched(PINS, LAB, missing, {}) == {"images.dockge"}


HUB = Upstream("https://registry-1.docker.io/v2/", frozenset({"images.a"}))
GITHUB = Upstream("https://github.com/", frozenset({"sources.b", "downloads.c"}))
MIRROR = Upstream("http://192.168.0.5:80/v2/", frozenset({"images.a"}))
ALL = frozenset({"images.a", "sources.b"})


def judged(
    *pairs: tuple[Upstream, Answer], wanted: frozenset[str] = ALL, **of: bool
) -> list[Finding]:
    return list(
        upstream_findings(
            [server for server, _ in pairs],
            wanted,
            {server.address: answer for server, answer in pairs},
            **{"mirrored": False, "engine_proxied": False, **of},
        )
    )


@pytest.mark.parametrize("status", ["200", "301", "401", "404", "405", "429"])
def test_a_server_that_answers_passes(status: str):
    """A root may have no page, and a registry asks for a token first."""
    findings = judged((HUB, Answer("http", "401")), (GITHUB, Answer("http", status)))
    assert [(one.name, one.ok) for one in findings] == [
        ("DNS", True),
        ("upstream registry-1.docker.io", True),
        ("upstream github.com", True),
    ]
    assert f"HTTP {status}" in findings[2].detail


@pytest.mark.parametrize(
    ("server", "answer", "seen", "fix"),
    [
        (GITHUB, Answer("connect", "Connection refused"), "Connection refused", "ip route"),
        (GITHUB, Answer("connect", "no answer"), "no answer", "firewall"),
        (
            GITHUB,
            Answer("tls", "self-signed certificate in certificate chain"),
            "certificate is not trusted (self-signed",
            "CA_BUNDLE",
        ),
        (GITHUB, Answer("http", "403"), "HTTP 403", "filter"),
        (GITHUB, Answer("http", "407"), "HTTP 407", "proxy"),
        (GITHUB, Answer("http", "503"), "HTTP 503", "the server itself"),
        # Something listens there, but it is not a registry.
        (HUB, Answer("http", "404"), "HTTP 404", "what answers there"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_refused(
    server: Upstream, answer: Answer, seen: str, fix: str
):
    """The finding contains the failed step, and its fix."""
    (finding,) = failed(judged((server, answer)))
    assert finding.name == f"upstream {server.host}"
    assert seen in finding.detail
    assert fix in finding.fix
    assert finding.fix.endswith("set MIRROR")


def test_names_without_an_address_are_one_finding():
    """The name server is at fault, not each of the servers."""
    lost = Answer("name", "Temporary failure in name resolution")
    findings = judged((HUB, lost), (GITHUB, lost))
    assert [finding.name for finding in findings] == ["DNS"]
    (finding,) = failed(findings)
    assert "github.com, registry-1.docker.io cannot be resolved (Temp" in finding.detail
    assert "resolvectl" in finding.fix


def test_a_mirror_that_is_not_there_names_the_file_to_correct():
    """Its address is only in that file; a number needs no DNS."""
    findings = judged((MIRROR, Answer("connect", "No route to host")), mirrored=True)
    assert [finding.name for finding in findings] == ["upstream 192.168.0.5:80"]
    assert failed(findings)[0].fix.endswith("correct the file that MIRROR names")
    assert [one.name for one in judged((MIRROR, OK), mirrored=True)] == ["upstream 192.168.0.5:80"]


@pytest.mark.parametrize(
    "answer", [Answer("name", "x"), Answer("connect", "x"), Answer("http", "503")]
)
def test_a_server_from_which_nothing_is_fetched_stops_nothing(answer: Answer):
    """A machine that has everything needs no internet; the server is still reported."""
    findings = judged((HUB, OK), (GITHUB, answer), wanted=frozenset({"images.a"}))
    assert failed(findings) == []
    assert len(noted(findings)) == 1


def test_an_engine_with_a_proxy_of_its_own_pulls_through_that():
    """This applies to images and sources; the host itself may not be able to reach them."""
    refused = Answer("connect", "no answer")
    both = (HUB, refused), (GITHUB, refused)
    assert failed(judged(*both, engine_proxied=True)) == []
    (finding,) = failed(judged(*both, wanted=ALL | {"downloads.c"}, engine_proxied=True))
    assert finding.name == "upstream github.com"


def test_without_python_nothing_is_known():
    """Nothing is reported as unreachable."""
    findings = list(upstream_findings([HUB], ALL, {}, mirrored=False, engine_proxied=False))
    assert failed(findings) == []
    assert "python3 is not installed" in noted(findings)[0].detail


def test_what_is_used_without_a_digest_or_a_checksum_is_noted():
    """By its name; what no stack uses is nobody's worry."""
    image = {"name": "docker.io/a/b", "tag": "1"}
    file = {"url": "https://h/{version}", "version": "1"}
    digest, sha256 = f"sha256:{'ab' * 32}", "ab" * 32
    found = Pins.model_validate(
        {
            "images": {
                "open": {**image, "digest": None},
                "pinned": {**image, "digest": digest},
                "unused": {**image, "digest": None},
            },
            "sources": {},
            "downloads": {"open": {**file, "sha256": None}, "pinned": {**file, "sha256": sha256}},
            "apt": {},
        }
    )
    used = {"images.open", "images.pinned", "downloads.open", "downloads.pinned", "sources.x"}
    (note,) = noted(pin_findings(found, used))
    assert note.detail.startswith("downloads.open has no sha256, images.open has no digest: their")
    assert noted(pin_findings(found, used - {"images.open", "downloads.open"})) == []
