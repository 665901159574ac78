"""Mount options of a CIFS share: which ones the kernel receives, and which ones it shows.

Sources: mount.cifs(8), and mount.cifs.c of cifs-utils 7.4 (``parse_options``); the kernel's
fs/smb/client/fs_context.c and ``cifs_show_options``, tried with 6.12.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

MARK = "x-ai-workstation"
"""Option that stores, in fstab and in mount(8)'s own records, a digest of the source and options of
a mount."""

REFUSED = {
    **dict.fromkeys(
        ("noauto", "x-systemd.automount", "x-systemd.idle-timeout"),
        "the share is mounted at boot, before Docker starts",
    ),
    "ro": "outputs are written to the share",
    **dict.fromkeys(
        ("suid", "dev"),
        "programs and devices on the share would have root's rights on this machine",
    ),
    "guest": "the share is used as smb_user",
    **dict.fromkeys(("bind", "rbind", "remount"), "it does not mount a share"),
    **dict.fromkeys(
        ("prefixpath", "unc", "target", "path"),
        "the share is set only by smb_server and smb_share",
    ),
}
"""Options of mount(8) and mount.cifs(8) that would defeat the purpose of the share -> why."""

# Synonyms for mount.cifs, or intended as such: with 7.4, the kernel rejects fmask.
_SYNONYMS = {"fmask": "file_mode", "dmask": "dir_mode", "dirmode": "dir_mode", "addr": "ip"}

# Read only by mount(8), systemd or mount.cifs; user, password and domain are passed separately.
_USER_SPACE = (
    *("_netdev", "nofail", "comment", "defaults", "auto", "noauto", "user", "nouser", "users"),
    *("nousers", "owner", "noowner", "group", "nogroup", "credentials", "cred", "username", "pass"),
    *("password", "pass2", "password2", "dom", "domain", "workgroup", "guest", "unc", "target"),
    *("path", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "mand", "nomand"),
)

_VERSIONS = {
    "1.0": {"1.0"},
    "2.0": {"2.0"},
    "2.1": {"2.1"},
    "3.0": {"3.0"},
    "3.02": {"3.02"},
    "3.0.2": {"3.02"},
    "3.11": {"3.1.1"},
    "3.1.1": {"3.1.1"},
    "3": {"3.0", "3.02", "3.1.1"},
    "default": {"2.1", "3.0", "3.02", "3.1.1"},
}
"""Requested version -> those that the kernel may show for it."""

_FLAGS = ("seal", "nobrl", "mfsymlinks", "noperm")
_OPPOSITES = {"brl": "nobrl", "perm": "noperm"}
_MODES = ("file_mode", "dir_mode")


SAFE = ("nosuid", "nodev", "noexec")
"""Flags of the mount itself: nothing on the share is a program or a device. The kernel changes them
while the share is in use."""


def flags(options: Iterable[str]) -> list[str]:
    """Return which of these flags a mount with the options has."""
    return [flag for flag in SAFE if flag in options]


def bad_mode(option: str) -> bool:
    """Whether an option gives files a mode that is not three octal digits, which could make every
    file on the share a setuid program."""
    key, _, value = meant(option).partition("=")
    return key in _MODES and not re.fullmatch("0?[0-7]{1,3}", value)


def meant(option: str) -> str:
    """Return a user's option in the form in which the kernel understands it as intended: it would
    read ``file_mode=777`` as a decimal number."""
    key, equals, value = option.partition("=")
    key = _SYNONYMS.get(key, key)
    if key in _MODES and value and value.strip("01234567") == "":
        value = f"0{value.lstrip('0')}"
    return f"{key}{equals}{value}"


def kernel(options: str) -> list[str]:
    """Return the options in fstab that are passed to the kernel's client, besides user, password,
    domain and the server's address."""
    return [
        option
        for option in options.split(",")
        if (key := option.partition("=")[0])
        and key not in _USER_SPACE
        and not key.startswith(("x-", "X-"))
    ]


def marked(source: str, options: str) -> str:
    """Return the options with a digest of themselves and the source."""
    digest = hashlib.sha256("\n".join([source.lower(), *kernel(options)]).encode("utf-8"))
    return f"{options},{MARK}={digest.hexdigest()[:12]}"


def mark(options: Iterable[str]) -> str:
    """Return that digest, or an empty string."""
    found = [option.partition("=")[2] for option in options if option.startswith(f"{MARK}=")]
    return found[-1] if found else ""


def same_source(one: str, other: str) -> bool:
    """Whether both name the same share: case, trailing slashes and the kind of slash do not matter
    in SMB."""
    return _source(one) == _source(other)


def _source(text: str) -> str:
    return text.replace("\\", "/").rstrip("/").lower()


def changed(old: str, new: str) -> bool:
    """Whether two lists of options lead to different mounts."""
    return {meant(one) for one in kernel(old)} != {meant(one) for one in kernel(new)}


def drift(wanted: str, shown: Sequence[str]) -> list[str]:
    """Return the wanted options that differ in meaning from those that the kernel shows.

    Only options that the kernel shows as given are compared. Options that it negotiates with the
    server, and unknown ones, are ignored.

    + wanted: options of the entry in fstab
    + shown: options of the mount
    """
    have = dict(option.partition("=")[::2] for option in shown)
    want: dict[str, str] = {}
    for option in kernel(wanted):
        key, _, value = option.partition("=")
        want.pop(_OPPOSITES.get(key, ""), None)
        want[key] = value
    different = [
        f"{key}={value}" if value else key
        for key, value in want.items()
        if _differs(key, value, have)
    ]
    return [*different, *(["rw"] if "ro" in have and "ro" not in wanted.split(",") else [])]


def _differs(key: str, value: str, have: dict[str, str]) -> bool:
    if key in _FLAGS:
        return key not in have
    if key == "vers" and key in have:
        return value in _VERSIONS and have[key] not in _VERSIONS[value]
    base = 10 if key in ("uid", "gid") else 8 if key in _MODES else 0
    if not base or key not in have:
        return False
    try:
        return int(value, base) != int(have[key], base)
    except ValueError:
        return False
