"""The files added to Debian, and the image's hash."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab import image
from lab.paths import GUEST

ROOT = Path(__file__).parents[3]
NVIDIA_SMI = GUEST / "usr/bin/nvidia-smi"
FILES = {"etc/hostname": (0o644, b"workstation\n"), "etc/key": (0o600, b"secret\n")}


def nvidia_smi(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the stand-in with the simplest available shell."""
    return subprocess.run(
        ["sh", NVIDIA_SMI, *arguments], capture_output=True, text=True, check=False
    )


def test_the_hash_follows_content_mode_and_mirror() -> None:
    """Any input of the image changes its name in the cache."""
    hashes = {
        image.input_hash(FILES, "http://deb.debian.org/debian"),
        image.input_hash(FILES, "http://mirror.example/debian"),
        image.input_hash(FILES | {"etc/key": (0o600, b"other\n")}, "http://deb.debian.org/debian"),
        image.input_hash(FILES | {"etc/key": (0o644, b"secret\n")}, "http://deb.debian.org/debian"),
    }
    assert len(hashes) == 4


def test_the_overlay_belongs_to_root_whoever_builds_it() -> None:
    """The archive has its own modes and root as owner, independent of the checkout."""
    with tarfile.open(fileobj=io.BytesIO(image.overlay_tar(FILES))) as archive:
        members = {member.name: (member.uid, member.gid, member.mode) for member in archive}
    assert members == {"etc/hostname": (0, 0, 0o644), "etc/key": (0, 0, 0o600)}


def test_security_updates_come_from_beside_the_mirror() -> None:
    """DEBIAN_MIRROR replaces the server of all three suites."""
    assert image.sources("http://mirror.example/debian") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


PRIVATE = rb"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----\s+[\w+/]{8}"


def test_no_private_key_is_in_the_repository() -> None:
    """The guest's keys come from the cache; the repository contains no other private keys
    either."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    files = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    assert GUEST / "usr/bin/nvidia-smi" in files
    assert len(files) > 400
    found = [file for file in files if file.is_file() and re.search(PRIVATE, file.read_bytes())]
    assert found == []


def test_private_keys_are_recognised(tmp_path: Path) -> None:
    """A self-check of the test above: keys in the formats of ssh-keygen, gpg and openssl."""
    key = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    assert re.search(PRIVATE, key.read_bytes())
    for name in ("RSA ", "EC ", "ENCRYPTED ", ""):
        assert re.search(PRIVATE, f"x\n-----BEGIN {name}PRIVATE KEY-----\nMIIEvQIB".encode())
    assert re.search(PRIVATE, b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdGBGVz")
    assert not re.search(PRIVATE, b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQdGBGVz")


def test_nvidia_smi_lists_the_card() -> None:
    """The output of -L has the same form as the real tool's."""
    card = "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"
    assert nvidia_smi("-L").stdout.startswith(f"GPU 0: {card} (UUID: GPU-")


@pytest.mark.parametrize(
    ("query", "form", "expected"),
    [
        ("compute_cap,driver_version", "csv,noheader", "12.0, 580.95.05\n"),
        ("memory.total, memory.used", "csv,noheader", "97887 MiB, 2 MiB\n"),
        ("memory.total", "csv,noheader,nounits", "97887\n"),
        ("name,memory.free", "csv,nounits", None),
    ],
)
def test_nvidia_smi_answers_queries_as_csv(query: str, form: str, expected: str | None) -> None:
    """Fields are separated by comma and space; units and header are optional."""
    answer = nvidia_smi(f"--query-gpu={query}", f"--format={form}")
    assert answer.returncode == 0
    if expected is None:
        assert answer.stdout.splitlines()[0] == "name, memory.free [MiB]"
    else:
        assert answer.stdout == expected


def test_nvidia_smi_refuses_an_unknown_field() -> None:
    """It fails the same way as the real one."""
    answer = nvidia_smi("--query-gpu=nmae", "--format=csv")
    assert answer.returncode == 2
    assert 'Field "nmae" is not a valid field to query.' in answer.stdout
