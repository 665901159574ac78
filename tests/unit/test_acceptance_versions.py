"""Versions that acceptance shows, with installed and with missing programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import configured
from workstation.acceptance import Answer, Probe
from workstation.acceptance.versions import version_probe, versions
from workstation.findings import HOST, failed, noted


def run(probe: Probe, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", probe.script, "sh", *probe.arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )


def test_versions_are_what_there_is(tmp_path: Path):
    """A program that does not answer is left out."""
    environment = programs(
        tmp_path,
        ip="echo '192.0.2.1 via 192.168.0.1 dev enp5s0 src 192.168.0.20 uid 0'",
        curl="""echo '{"version":"0.32.15"}'""",
        nvidia_smi="echo 'NVIDIA L4, 23034 MiB, 580.95.05'; echo 'NVIDIA L4, 23034 MiB, 580.95.05'",
        dpkg_query="printf 1.20.0-1",
        uname="echo 6.8.0-88-generic",
        docker="""
case "$*" in
  "version "*) echo 29.1.2 ;;
  "compose "*) echo 2.40.3 ;;
  "buildx "*) echo "github.com/docker/buildx 0.29.1 x" ;;
  "ps "*) echo 'yanwk/comfyui-boot:pt28 '; echo 'traefik:v3.7.15 ' ;;
esac""",
    )
    done = run(version_probe(configured()), environment)
    seen = versions(Answer(True, done.stdout))
    assert list(seen.shown.items())[1:] == [
        ("Kernel", "6.8.0-88-generic"),
        ("NVIDIA driver", "580.95.05"),
        ("NVIDIA Container Toolkit", "1.20.0-1"),
        ("Docker", "29.1.2"),
        ("Compose", "2.40.3"),
        ("Ollama", "0.32.15"),
        ("Traefik", "3.7.15"),
    ]
    assert seen.shown["System"]
    assert (seen.address, seen.gpu) == ("192.168.0.20", "NVIDIA L4")

    none = dict.fromkeys(("ip", "curl", "nvidia_smi", "dpkg_query", "docker", "uname"), "exit 1")
    seen = versions(
        Answer(True, run(version_probe(configured()), programs(tmp_path, **none)).stdout)
    )
    assert list(seen.shown) == ["System"]
    assert (seen.address, seen.gpu) == ("", "")
    assert versions(Answer(False, "the machine did not answer")).shown == {}


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("traefik:v3.7.15 ", "3.7.15"),
        ("docker.io/library/traefik:v3.7.15@sha256:ab ", "3.7.15"),
        ("192.168.0.5:80/docker.io/library/traefik:v3.7.15 3.7.15", "3.7.15"),
        ("traefik:latest v3.5.0", "3.5.0"),
        ("traefik ", "of unknown version"),
        ("traefik@sha256:ab ", "of unknown version"),
        ("traefik/whoami:1 ", None),
        ("mytraefik:1 ", None),
    ],
)
def test_traefiks_version_is_its_label_or_tag(image: str, version: str | None):
    assert versions(Answer(True, f"image: {image}")).shown.get("Traefik") == version


def test_what_is_newer_than_any_that_was_tried_is_a_note():
    """Only for Docker's parts; the run may just have installed them."""
    probe = version_probe(configured())
    tried = "Kernel: 6\nDocker: 28.5.2+dfsg4\nCompose: 2.40.3\nBuildx: 0.29.1\ncontainerd: "
    assert probe.findings(Answer(True, tried)) == []
    new = "Docker: 29.1.2\nCompose: 5.0.1\nBuildx: v0.30.1\ncontainerd: v2.2.0\nOllama: 99"
    found = probe.findings(Answer(True, new))
    assert failed(found) == []
    assert [one.detail.partition(" ")[0] for one in noted(found)] == [
        *("29.1.2", "5.0.1", "v0.30.1", "v2.2.0"),
    ]
    assert all(one.evidence and one.subject == HOST for one in found)
