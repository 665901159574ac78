"""Versions, address and card of the machine. They are shown but not judged, except that a Docker
newer than any version tried is a note."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from workstation import scripts
from workstation.acceptance import Answer, Probe, evidence
from workstation.docker.references import is_traefik, parts
from workstation.findings import HOST, Finding
from workstation.nvidia.smi import row
from workstation.preflight.versions import version_finding
from workstation.settings import Settings

_ASKED = {
    "Docker": "version",
    "Compose": "compose version",
    "Buildx": "buildx version",
    "containerd": "version",
}

_SHOWN = (
    *("System", "Kernel", "NVIDIA driver", "NVIDIA Container Toolkit"),
    *("Docker", "Compose", "Ollama", "Traefik"),
)


@dataclass(frozen=True)
class Versions:
    """``shown``: component -> version, of those found; ``address``: the machine's address in the
    network; ``gpu``: the names of its cards."""

    shown: dict[str, str] = field(default_factory=dict)
    address: str = ""
    gpu: str = ""


def version_probe(settings: Settings) -> Probe:
    """Return the probe whose answer :func:`versions` reads. It yields a note for each part of
    Docker that is newer than any version tried."""
    return Probe(
        "versions",
        scripts.text("acceptance/versions.sh"),
        (str(settings.ollama_port),),
        "",
        read=_untried,
    )


def _untried(probe: Probe, answer: Answer) -> Iterator[Finding]:
    found = dict(line.partition(": ")[::2] for line in answer.output.splitlines())
    for name in _ASKED:
        one = version_finding("Engine" if name == "Docker" else name, found.get(name, "").strip())
        if not one.ok:
            yield replace(
                one,
                fix="nothing to do if all other checks pass",
                evidence=evidence(f"docker {_ASKED[name]}", found[name]),
                subject=HOST,
            )


def versions(answer: Answer) -> Versions:
    """Return the versions, address and cards of the machine."""
    lines = [line.partition(": ")[::2] for line in answer.output.splitlines()]
    found = {word: text.strip() for word, text in lines if text.strip()}
    # nvidia-smi may print other lines, too.
    rows = [row(text) for word, text in lines if word == "card"]
    cards = [one for one in rows if one and one.driver]
    if cards:
        found["NVIDIA driver"] = cards[0].driver
    for word, text in lines:
        if word == "image" and (version := _traefik(text)):
            found["Traefik"] = version
    return Versions(
        {name: found[name] for name in _SHOWN if name in found},
        found.get("address", ""),
        ", ".join(dict.fromkeys(card.name for card in cards)),
    )


def _traefik(image: str) -> str:
    """Return the version of Traefik from an image's label, or else from its reference; empty for
    any other image."""
    reference, _, label = image.partition(" ")
    if not is_traefik(reference):
        return ""
    return (label.strip() or parts(reference)[1] or "of unknown version").removeprefix("v")
