"""Which versions the machine runs, what it is called by, and its card: worth knowing, no check,
except for a Docker that is newer than any that was tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from workstation.acceptance import Answer, Probe, evidence
from workstation.findings import HOST, Finding
from workstation.preflight.versions import version_finding
from workstation.settings import Settings

# What does not answer has no line. 192.0.2.1 is nobody's (RFC 5737), and nothing is sent there: the
# route that leads to it tells by which address others know this machine. Whoever waits for a wedged
# card hears no signal, and is left behind.
_VERSIONS = r"""
PATH=$PATH:/usr/lib/wsl/lib:/usr/local/nvidia/bin
card=$(mktemp -d) || exit 1
trap 'rm -rf "$card"' EXIT
(
  timeout 20 nvidia-smi --query-gpu=name,memory.total,driver_version \
    --format=csv,noheader >"$card/said" 2>/dev/null
  : >"$card/done"
) >/dev/null 2>&1 </dev/null &
. /etc/os-release && echo "System: $PRETTY_NAME"
echo "Kernel: $(uname -r)"
ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/address: \1/p'
echo "Ollama: $(curl -s --noproxy '*' --max-time 60 "http://127.0.0.1:$1/api/version" \
  | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p')"
toolkit=$(dpkg-query -W -f '${Version}' nvidia-container-toolkit 2>/dev/null)
echo "NVIDIA Container Toolkit: $toolkit"
echo "Docker: $(timeout 60 docker version -f '{{.Server.Version}}' 2>/dev/null)"
echo "Compose: $(timeout 60 docker compose version --short 2>/dev/null)"
echo "Buildx: $(timeout 60 docker buildx version 2>/dev/null | cut -d' ' -f2)"
echo "containerd: $(timeout 60 docker version \
  -f '{{range .Server.Components}}{{if eq .Name "containerd"}}{{.Version}}{{end}}{{end}}' \
  2>/dev/null)"
timeout 60 docker ps --format '{{.Image}} {{.Label "org.opencontainers.image.version"}}' \
  2>/dev/null | sed 's/^/image: /'
ticks=110
while [ ! -e "$card/done" ] && [ "$ticks" -gt 0 ]; do sleep 0.2; ticks=$((ticks - 1)); done
[ ! -e "$card/done" ] || sed 's/^/card: /' "$card/said"
"""

# A row of nvidia-smi, which may print other lines beside them.
_CARD = re.compile(r"(.+), (?:\d+ MiB|\[[^\]]*\]), (\d+(?:\.\d+)+)")

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
    return Probe("versions", _VERSIONS, (str(settings.ollama_port),), "", read=_untried)


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
    rows = [_CARD.fullmatch(text.strip()) for word, text in lines if word == "card"]
    cards = [row for row in rows if row]
    if cards:
        found["NVIDIA driver"] = cards[0][2]
    for word, text in lines:
        if word == "image" and (version := _traefik(text)):
            found["Traefik"] = version
    return Versions(
        {name: found[name] for name in _SHOWN if name in found},
        found.get("address", ""),
        ", ".join(dict.fromkeys(card[1] for card in cards)),
    )


def _traefik(image: str) -> str:
    """Return the version of Traefik from an image's reference and, if it has one, label; empty for
    any other image."""
    reference, _, label = image.partition(" ")
    match = re.match(r"(?:.*/)?traefik(?::([^@]*))?(?:@|$)", reference)
    return (label.strip() or match[1] or "of unknown version").removeprefix("v") if match else ""
