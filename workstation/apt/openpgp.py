"""Fingerprints of OpenPGP keys, without gpg: a machine may lack it, and apt does not need it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

_PUBLIC_KEY = 6
_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[^\n]*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.S
)


def fingerprints(keyring: bytes) -> tuple[str, ...]:
    """Return the fingerprints of the primary keys in a keyring, in upper case and in order; none if
    it cannot be read.

    + keyring: binary or armored, possibly in several blocks

    Source: RFC 9580, 4.2 (packets), 5.5.4 (fingerprints), 6.2 (armor).
    """
    armored = [match[1] for match in _ARMOR.finditer(keyring)]
    try:
        blocks = [_unarmored(text) for text in armored] or [keyring]
        packets = [packet for block in blocks for packet in _packets(block)]
        return tuple(_fingerprint(body) for tag, body in packets if tag == _PUBLIC_KEY)
    except (LookupError, ValueError):
        # An unreadable block may contain a key that another program can read.
        return ()


def _unarmored(text: bytes) -> bytes:
    """Return the data between the header lines and the checksum. Raises ValueError."""
    text = text.replace(b"\r\n", b"\n")
    _, _, body = text.partition(b"\n\n") if b":" in text.partition(b"\n\n")[0] else (b"", b"", text)
    lines = [line.strip() for line in body.splitlines()]
    return base64.b64decode(b"".join(one for one in lines if not one.startswith(b"=")))


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        head = data[place]
        if not head & 0x80:
            raise ValueError("no packet")
        place += 1
        if head & 0x40:
            tag, first = head & 0x3F, data[place]
            if first < 192:
                length, place = first, place + 1
            elif first < 224:
                length, place = ((first - 192) << 8) + data[place + 1] + 192, place + 2
            elif first == 255:
                length, place = int.from_bytes(data[place + 1 : place + 5], "big"), place + 5
            else:
                raise ValueError("a key has no partial length")
        else:
            tag, octets = head >> 2 & 0xF, 1 << (head & 3)
            if octets == 8:
                raise ValueError("a key has a length")
            length, place = int.from_bytes(data[place : place + octets], "big"), place + octets
        if place + length > len(data):
            raise ValueError("it is cut off")
        yield tag, data[place : place + length]
        place += length


def _fingerprint(body: bytes) -> str:
    version, size = body[0], len(body)
    if version == 4:
        return hashlib.sha1(b"\x99" + size.to_bytes(2, "big") + body).hexdigest().upper()
    if version in (5, 6):
        prefix = b"\x9a" if version == 5 else b"\x9b"
        return hashlib.sha256(prefix + size.to_bytes(4, "big") + body).hexdigest().upper()
    raise ValueError(f"version {version}")
