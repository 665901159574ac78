"""Which versions the machine runs, what it is called by, and its card: worth knowing, no check,
except for a Docker that is newer than any that was tried."""

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
    """``shown``: what -> version, of what there is; ``address`` by which the network knows the
    machine; ``gpu``: the names of its cards."""

    shown: dict[str, str] = field(default_factory=dict)
    address: str = ""
    gpu: str = ""


def version_probe(settings: Settings) -> Probe:
    """Return the probe whose answer :func:`versions` reads. What it finds is a note for each part
    of Docker that is newer than any that was tried."""
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
                fix="leave it, if all else here is as promised",
                evidence=evidence(f"docker {_ASKED[name]}", found[name]),
                subject=HOST,
            )


def versions(answer: Answer) -> Versions:
    """Return what there is on the machine."""
    lines = [line.partition(": ")[::2] for line in answer.output.splitlines()]
    found = {word: text.strip() for word, text in lines if text.strip()}
    # nvidia-smi may print other lines beside them.
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
    """Return the version of Traefik from an image's reference and, if it has one, label; empty for
    any other image."""
    reference, _, label = image.partition(" ")
    if not is_traefik(reference):
        return ""
    return (label.strip() or parts(reference)[1] or "of unknown version").removeprefix("v")
