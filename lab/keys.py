"""The lab's SSH keys: created once in the cache, never in the repository."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.paths import cache


@dataclass(frozen=True)
class Key:
    """An Ed25519 key pair, identified by the path of its private half."""

    private: Path

    @property
    def public(self) -> str:
        """The public half, as in an authorized_keys file."""
        return self.private.with_name(self.private.name + ".pub").read_text().strip()


def user_key() -> Key:
    """Return the key for logging in to the guest as root or operator."""
    return _ensure("lab_ed25519")


def host_key() -> Key:
    """Return the guest's host key. It stays the same when the image is rebuilt."""
    return _ensure("host_ed25519")


def _ensure(name: str) -> Key:
    folder = cache() / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    private = folder / name
    if not private.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", private],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    return Key(private)
