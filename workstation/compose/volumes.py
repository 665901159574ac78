"""Mounts of a Compose file in both syntaxes, and the options that Docker knows.

Compose ignores unknown options of the short syntax: ``/a:/b:or`` is writable.
Sources: compose-go, format/volume.go; moby, volume/mounts/linux_parser.go and daemon/pkg/opts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workstation.compose.forms import (
    FLAG,
    NAME,
    TEXT,
    Form,
    Path,
    Problem,
    checked,
    keys,
    one_of,
    size,
    whole,
    words,
)
from workstation.compose.values import PAIRS
from workstation.errors import nearest, shown

_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_CONSISTENCY = ("consistent", "cached", "delegated", "default")
SHORT_OPTIONS = ("ro", "rw", "z", "Z", "nocopy", *_PROPAGATION, *_CONSISTENCY)
_TMPFS_FLAGS = words(
    """
    ro rw suid nosuid dev nodev exec noexec sync async dirsync atime noatime diratime nodiratime
    relatime norelatime strictatime nostrictatime private rprivate shared rshared slave rslave
    """
)
_TMPFS_VALUES = re.compile(r"(mode=[0-7]{1,4}|(uid|gid|nr_inodes|nr_blocks)=[0-9]+k?|mpol=.+)")

_SECTIONS = {
    "bind": keys(
        {
            "propagation": one_of(*_PROPAGATION),
            "create_host_path": FLAG,
            "recursive": one_of("enabled", "disabled", "writable", "readonly"),
            "selinux": one_of("z", "Z"),
        }
    ),
    "volume": keys({"labels": PAIRS, "nocopy": FLAG, "subpath": TEXT}),
    "tmpfs": keys({"size": checked(size), "mode": whole(0, 0o7777, text=False)}),
    "image": keys({"subpath": TEXT}),
}
_LONG = keys(
    {
        "type": one_of("bind", "volume", "tmpfs", "image", "cluster", "npipe"),
        "source": TEXT,
        "target": NAME,
        "read_only": FLAG,
        "consistency": one_of(*_CONSISTENCY),
        **_SECTIONS,
    },
    required=("type", "target"),
)


def _mount(value: Any, path: Path) -> Iterator[Problem]:
    if isinstance(value, dict):
        yield from _LONG.problems(value, path)
        for section in _SECTIONS:
            if section in value and value.get("type") in _SECTIONS and section != value["type"]:
                yield path, f"has `{section}`, but is a mount of type {value['type']}"
    elif not isinstance(value, str):
        yield path, f"is {shown(value)}: expected a mount, such as /srv/a:/a:ro"
    else:
        yield from _short(value, path)


def _short(value: str, path: Path) -> Iterator[Problem]:
    parts = value.split(":")
    if not all(parts) or len(parts) > 3:
        yield path, f"is {shown(value)}: expected SOURCE:TARGET or SOURCE:TARGET:OPTIONS"
        return
    options = parts[2].split(",") if len(parts) == 3 else []
    for option in options:
        if option not in SHORT_OPTIONS:
            yield (
                path,
                f"has the option {shown(option)}, which Compose ignores"
                f"{nearest(option, SHORT_OPTIONS)}: expected ro, rw, z, nocopy or a propagation "
                "mode",
            )
    if {"ro", "rw"} <= {*options}:
        yield path, f"is {shown(value)}, both ro and rw: keep one of the two"


MOUNT = Form("a mount", dict, _mount)


def _tmpfs(value: Any) -> str:
    folder, _, options = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not folder.startswith("/"):
        return "an absolute path, such as /tmp:size=1g"
    for option in filter(None, options.split(",")):
        known = option in _TMPFS_FLAGS or _TMPFS_VALUES.fullmatch(option)
        percent = re.fullmatch(r"size=[0-9]{1,3}%", option)
        if not known and not percent and not _is_size(option):
            return f"a tmpfs option instead of {shown(option)}{nearest(option, _TMPFS_FLAGS)}"
    return ""


def _is_size(option: str) -> bool:
    return bool(re.fullmatch(r"size=[0-9]{1,18}[kmg]?", option, re.IGNORECASE))


TMPFS = checked(_tmpfs)
