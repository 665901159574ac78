"""Fingerprints without gpg, compared with gpg's own."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from workstation.apt.openpgp import fingerprints

KEYRINGS = [
    file
    for folder in ("/usr/share/keyrings", "/etc/apt/trusted.gpg.d")
    for file in sorted(Path(folder).glob("*.*"))
]

# The packet of a version 4 key, and nothing else.
KEY = b"\x98\x02\x04x"


def by_gpg(*arguments: str) -> tuple[str, ...]:
    """Return the fingerprints of the primary keys that ``gpg --show-keys`` lists."""
    command = ["gpg", "--batch", "--show-keys", "--with-colons", *arguments]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    found, primary = [], False
    for columns in (line.split(":") for line in lines):
        primary = primary or columns[0] == "pub"
        if columns[0] == "fpr" and primary:
            found.append(columns[9])
            primary = False
    return tuple(found)


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg here")
@pytest.mark.parametrize("file", KEYRINGS, ids=str)
def test_every_keyring_of_this_machine_is_read_as_gpg_reads_it(file: Path):
    """RSA, EdDSA, subkeys, user attributes; binary and armored; one key and twenty."""
    assert fingerprints(file.read_bytes()) == by_gpg(str(file))


@pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg here")
@pytest.mark.parametrize("file", [one for one in KEYRINGS if one.suffix != ".asc"][:1], ids=str)
def test_armor_in_every_form(file: Path):
    """With header lines, Windows line ends, text around it, and two blocks in one file."""
    armor = subprocess.run(
        ["gpg", "--batch", "--enarmor"], input=file.read_bytes(), capture_output=True
    ).stdout.replace(b"PGP ARMORED FILE", b"PGP PUBLIC KEY BLOCK")
    expected = by_gpg(str(file))
    assert fingerprints(armor) == expected
    assert fingerprints(armor.replace(b"\n", b"\r\n")) == expected
    assert fingerprints(b"The key:\n\n" + armor + b"\n" + armor) == expected * 2
    bare = b"\n".join(one for one in armor.splitlines() if not one.startswith(b"Comment:"))
    assert fingerprints(bare) == expected


def armored(content: bytes) -> bytes:
    lines = (b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"", base64.b64encode(content))
    return b"\n".join((*lines, b"-----END PGP PUBLIC KEY BLOCK-----", b""))


@pytest.mark.parametrize("rest", [KEY[:-1], KEY + b"no packet", b"\x98\x01\x03"])
def test_a_keyring_that_cannot_be_read_as_a_whole_has_no_fingerprint(rest: bytes):
    """apt may trust other keys in the rest of it, so the pinned key must not seem to be the only
    one."""
    assert len(fingerprints(armored(KEY) * 2)) == 2
    assert fingerprints(armored(KEY) + armored(rest)) == ()
    assert fingerprints(armored(rest) + armored(KEY)) == ()
    assert fingerprints(KEY + rest) == ()


def test_a_block_that_is_not_base64_makes_the_keyring_unreadable():
    """Another program may still read it."""
    broken = armored(KEY).replace(base64.b64encode(KEY), base64.b64encode(KEY).rstrip(b"=")[:-1])
    assert fingerprints(armored(KEY) + broken) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>captive portal</html>",
        b"\x99",
        b"\x99\x01\x0d\x04",
        b"\xff" * 9,
        b"\x98\x01\x03",
    ],
)
def test_what_is_no_key_has_no_fingerprint(content: bytes):
    """A page of a captive portal, a truncated file, a version from the last century."""
    assert fingerprints(content) == ()
