"""QEMU's command line, the environment file and Samba's settings."""

from __future__ import annotations

import io
from pathlib import Path

import dotenv
import pytest

from lab import environment, nas, qemu
from lab.image import Image
from lab.qemu import Forward, Upstream


def test_the_guest_reaches_the_production_addresses() -> None:
    """NAS and mirror are connected to loopback ports, one socat per connection."""
    command = qemu.arguments(
        Image(Path("/cache")),
        "tcg",
        Path("/lab/a,b/disk.qcow2"),
        [Forward(2022, 22)],
        [Upstream("192.168.0.6", 445, 1445)],
    )
    network = command[command.index("-netdev") + 1]
    assert "net=192.168.0.0/24,host=192.168.0.2,dns=192.168.0.3" in network
    assert "hostfwd=tcp:127.0.0.1:2022-192.168.0.15:22" in network
    assert "guestfwd=tcp:192.168.0.6:445-cmd:socat - TCP:127.0.0.1:1445" in network
    assert command[command.index("-drive") + 1].startswith("file=/lab/a,,b/disk.qcow2,")
    assert "-loadvm" not in command


def test_a_snapshot_is_loaded_by_name() -> None:
    """Nothing else differs when starting from a snapshot."""
    start = [Image(Path("/cache")), "kvm", Path("/disk"), [], []]
    booted = qemu.arguments(*start)  # type: ignore[arg-type]
    loaded = qemu.arguments(*start, "bare")  # type: ignore[arg-type]
    assert loaded == [*booted, "-loadvm", "bare"]


@pytest.mark.parametrize("value", [nas.PASSWORD, "a\\b", "it's", "${HOME}", "", " # "])
def test_any_value_survives_the_environment_file(value: str) -> None:
    """python-dotenv reads exactly what was written."""
    file = io.StringIO(environment.text({"SMB_PASSWORD": value, "LAST": "1"}))
    assert dotenv.dotenv_values(stream=file, interpolate=False) == {
        "SMB_PASSWORD": value,
        "LAST": "1",
    }


def test_the_default_password_has_every_awkward_character() -> None:
    """This is how the lab proves that secrets are quoted everywhere."""
    assert set("$\"',#% ö") <= set(nas.PASSWORD)


def test_the_environment_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It contains a password, so it is closed even if an earlier file was open to everybody."""
    path = tmp_path / "env"
    path.touch(mode=0o644)
    environment.write(path, {"A": "1"})
    assert path.stat().st_mode & 0o777 == 0o600


def test_samba_listens_on_loopback_alone() -> None:
    """An unprivileged server keeps all its files in its own folder."""
    lines = nas.settings(Path("/lab/nas"), 1445).splitlines()
    assert {"interfaces = 127.0.0.1", "bind interfaces only = yes", "smb ports = 1445"} <= set(
        lines
    )
    assert not any("/var/" in line or "/run/" in line for line in lines)
