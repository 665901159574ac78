"""Acceptance of the native Ollama: which program runs, its version, and who can reach it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import PAINTER, configured, made_up
from tests.unit.test_acceptance_machine import IP_GLOBAL, SHARE, judged, of, run
from workstation.acceptance import Answer
from workstation.acceptance.machine import host_probes
from workstation.findings import Finding

CURL = """
for address; do :; done
case $address in
  http://$OPEN:*) echo 0.000183; exit ${CODE:-0} ;;
  *) echo 0.000000; exit 7 ;;
esac
"""
SS = 'echo "LISTEN 0 4096 127.0.0.1:11434 0.0.0.0:*"; echo "asked for $2"'


@pytest.mark.parametrize(
    ("answering", "code", "ok", "detail"),
    [
        (
            "nothing",
            "0",
            True,
            "port 11434 does not answer on 192.168.0.20 [2001:db8::20]",
        ),
        ("192.168.0.20", "0", False, "port 11434 answers on 192.168.0.20"),
        ("192.168.0.20", "52", False, "port 11434 answers on 192.168.0.20"),
        ("192.168.0.20", "28", False, "port 11434 answers on 192.168.0.20"),
        ("172.17.0.1", "0", True, "port 11434 does not answer on 192.168.0.20 [2001:db8::20]"),
    ],
)
def test_ollama_is_asked_on_every_address_of_the_lan(
    tmp_path: Path, answering: str, code: str, ok: bool, detail: str
):
    """Docker's bridges do not belong to the LAN; a reply that is not HTTP also counts as an answer;
    sockets are the evidence."""
    environment = {**programs(tmp_path, ip=IP_GLOBAL, curl=CURL, ss=SS), "OPEN": answering}
    name = "Ollama does not answer on the LAN"
    finding = judged(of(made_up(painter=PAINTER))[name], {**environment, "CODE": code})[name]
    assert (finding.ok, finding.detail) == (ok, detail)
    assert "LISTEN 0 4096 127.0.0.1:11434" in finding.evidence
    assert "asked for sport = :11434" in finding.evidence


def test_a_program_that_is_too_busy_to_answer_is_open_all_the_same(tmp_path: Path):
    """The kernel accepts the connection: tested with a real server that never answers."""
    name = "Ollama does not answer on the LAN"
    with socket.create_server(("127.0.0.9", 0)) as silent:
        port = str(silent.getsockname()[1])
        ip = "echo '2: eth0    inet 127.0.0.9/8 scope global eth0'"
        environment = programs(tmp_path, ip=ip, ss="exit 0")
        found = judged(of(made_up(painter=PAINTER))[name], environment, port)[name]
        assert (found.ok, found.detail) == (False, f"port {port} answers on 127.0.0.9")
    found = judged(of(made_up(painter=PAINTER))[name], environment, port)[name]
    assert found.ok


def test_without_a_network_nothing_answers(tmp_path: Path):
    environment = programs(tmp_path, ip="exit 0", curl="exit 0", ss="exit 0")
    name = "Ollama does not answer on the LAN"
    finding = judged(of(made_up(painter=PAINTER))[name], environment)[name]
    assert (finding.ok, finding.detail) == (
        True,
        "port 11434 does not answer on any address: there is none",
    )
    silent = programs(tmp_path, ip="echo 'ip: not permitted'; exit 1", curl="exit 7")
    assert not judged(of(made_up(painter=PAINTER))[name], silent)[name].ok


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Any]:
    """Return a function that runs a program like ollama.service does, and checks it."""
    release = tmp_path / "releases/1.0/bin/ollama"
    release.parent.mkdir(parents=True)
    binary = tmp_path / "ollama"
    binary.symlink_to(release)
    begun: list[subprocess.Popen[bytes]] = []

    def ask(program: str = "", text: str = "", releases: str = "releases") -> Finding:
        if text:
            release.write_text(text)
        else:
            shutil.copy("/bin/sleep", release)
        release.chmod(0o755)
        begun.append(subprocess.Popen([program or str(binary), "60"]))
        time.sleep(0.3)  # until the process has become that program
        systemctl = f'case "$*" in *MainPID*) echo {begun[-1].pid} ;; *Group*) echo "" ;; esac'
        probe = of(made_up(painter=PAINTER))["Ollama runs the pinned release"]
        done = run(
            probe,
            programs(tmp_path / "bin", systemctl=systemctl),
            str(binary),
            f"{tmp_path}/{releases}",
        )
        answer = Answer(done.returncode == 0, done.stdout, done.returncode)
        (finding,) = probe.findings(answer)
        return finding

    yield ask
    for one in begun:
        one.kill()
        one.wait()


def test_the_pinned_release_is_what_runs(runs: Any, tmp_path: Path):
    """Judged by the program of its process, whoever started it and under whatever name."""
    finding = runs()
    assert finding.ok
    assert f"is {tmp_path}/releases/1.0/bin/ollama" in finding.evidence


def test_a_release_that_is_a_script_is_known(runs: Any):
    """The kernel reports its interpreter."""
    assert runs(text="#!/bin/sh\nexec 3<&0; sleep 60; :\n").ok


def test_another_program_in_its_place_is_named(runs: Any, tmp_path: Path):
    """For example one that a drop-in starts, or a binary that was replaced since."""
    mine = tmp_path / "mine"
    shutil.copy("/bin/sleep", mine)
    finding = runs(str(mine))
    assert not finding.ok
    assert finding.detail.startswith(f"it runs {mine}, not ")
    assert "systemctl cat" in finding.fix


def test_a_binary_that_is_no_release_is_named(runs: Any):
    """For example install.sh's."""
    finding = runs(releases="elsewhere")
    assert not finding.ok
    assert "not to a release" in finding.evidence


@pytest.mark.parametrize(
    ("answer", "ok", "seen"),
    [
        ('echo \'{"version":"0.32.15"}\'', True, "it is version 0.32.15"),
        ('echo \'{"version": "0.30.1"}\'', False, "it is version 0.30.1"),
        ("echo '<html>'", False, "it is version unknown"),
        ("echo 'curl: (7) refused' >&2; exit 7", False, "curl: (7) refused"),
    ],
)
def test_the_version_that_answers_is_the_pinned_one(
    tmp_path: Path, answer: str, ok: bool, seen: str
):
    """A different Ollama would answer on that port as well."""
    probes = host_probes(configured(**SHARE), [made_up(painter=PAINTER)], ollama="0.32.15")
    probe = next(one for one in probes if one.name == "Ollama answers on the host")
    finding = judged(probe, programs(tmp_path, curl=answer))[probe.name]
    assert (finding.ok, finding.detail) == (ok, seen)


NFT = """
echo 'table inet ai_workstation {
  chain input {
    type filter hook input priority raw + 290; policy accept;
    tcp dport 11434 iifname != "lo" iifname != "docker0" iifname != "br-*" drop
  }
}'
"""


@pytest.mark.parametrize(
    ("nft", "ok"),
    [
        (NFT, True),
        (NFT.replace("11434", "11500"), False),
        ("echo 'table inet ai_workstation {'; echo '}'", False),
        ("echo 'Error: No such file or directory' >&2; exit 1", False),
    ],
)
def test_the_guards_rule_is_looked_for_where_it_works(tmp_path: Path, nft: str, ok: bool):
    """Its unit stays active if somebody flushes the tables."""
    name = "Ollama's socket for containers is closed to neighbors"
    assert judged(of(made_up(painter=PAINTER))[name], programs(tmp_path, nft=nft))[name].ok is ok
