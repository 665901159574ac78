"""Mistakes in user input, made by rule: values, near misses of names, files.

Nothing is tested here: ``test_wrong_inputs`` puts each value into each place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECRET = "Geheim-9x"
"""Part of every secret: it must be in no sentence."""

SPECIAL = "${}[],:#'\"\\%@!&*?|><;()`~^=+-"
"""Characters that mean something to YAML, Compose, systemd, nft, Docker or a shell."""


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class Odd:
    """An object whose own text representation fails."""

    def __repr__(self) -> str:
        raise ValueError("no words")


def texts() -> Iterator[str]:
    """Texts that are wrong somewhere, or that must survive."""
    for character in SPECIAL:
        yield f"{character}a"
        yield f"a{character}b"
        yield f"/vol/a{character}b"
    yield from ("$HOME", "${X}", "$$", "${X:-y}", "a$(id)", "{{ 1 }}", "{% x %}", "{# x #}")
    yield from ("{a: b}", "[a]", "a: b", "a #b", "- x", "*x", "&x a", "!!int 1", "<<", "---", "...")
    yield from ("null", "true", "no", "~", "1e3", "0x1f", "0o7", "22:22", "2024-01-01", "1.10", "y")
    # Line breaks and invisible characters.
    for character in "\n\r\t\0\x1b\x7f\x85\xa0\u2028\u200b\u202e\ufeff\u00ad":
        yield f"a{character}b"
        yield f"/vol/a{character}b"
    yield from ("a\nprivileged: true", "a\r\nb: c", "/a\n[Service]\nExecStart=/bin/id")
    # Other scripts and characters that only look like ASCII.
    yield from ("äöüß€", "😀", "nоne", "１２３", "٣", "ſmb", "a\u0301", "/vol/ä", "/vol/мodels")
    yield from (
        "",
        " ",
        " a",
        "a ",
        "  ",
        "/",
        "//",
        "/a/",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "a/b",
        ".",
    )
    yield from (
        "..",
        "/etc",
        "/usr/lib/x",
        "/var",
        "/proc/1",
        "~/x",
        "~nobody/x",
        "C:\\x",
        "/" + "a" * 300,
    )
    yield from ("x" * 5_000, "/" + "x/" * 3_000 + "x", "9" * 5_000, "x" * 10**6)
    # Possible causes of a traceback: a shell's bytes that were not UTF-8.
    yield from ("\udce4", "/vol/\udce4")
    yield from (
        "0",
        "-1",
        "65536",
        "70000",
        "1_000",
        "2.0",
        "+5",
        "1e5",
        "nan",
        "inf",
        "0x10",
        " 5",
    )


def others() -> Iterator[Any]:
    """Values of other types than text."""
    yield from (None, True, False, 0, -1, 1, 65535, 65536, 70000, 2**31, 2**63, 10**30, 10**5000)
    yield from (1.5, -0.5, 2.0, 1e300, float("nan"), float("inf"), b"x", ["a"], [], {}, {"a": "b"})
    yield from ([None], [["a"]], {"a": None}, {1: 2}, {None: None}, {"a": {"b": {"c": []}}}, (1,))
    yield from (
        {"a", "b"},
        object(),
        len,
        Odd(),
        [Odd()],
        Path("/x"),
        deep(40),
        deep(900),
        endless(),
    )


def values() -> list[Any]:
    return [*texts(), *others()]


def misses(name: str) -> Iterator[str]:
    """Names that are close to this one."""
    middle = len(name) // 2
    yield name[:middle] + name[middle + 1 :]
    yield name[:middle] + name[middle] + name[middle:]
    yield name[:1] + name[2:3] + name[1:2] + name[3:] if name[1:2] != name[2:3] else f"{name}x"
    yield f"{name} "
    yield name.replace("e", "е") if "e" in name else f"{name}\u200b"


def odd_files(content: bytes) -> dict[str, Callable[[Path], None]]:
    """Ways in which a user's file may be unusable: name -> how to create it."""

    def fifo(path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    def folder(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.mkdir()

    def loop(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)

    def device(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/zero")

    return {
        "missing": lambda path: path.unlink(missing_ok=True),
        "empty": lambda path: _write(path, b""),
        "folder": folder,
        "pipe": fifo,
        "loop of links": loop,
        "endless": device,
        "Latin-1": lambda path: _write(path, "# Größe\n".encode("latin-1") + content),
        "UTF-16": lambda path: _write(path, content.decode().encode("utf-16")),
        "binary": lambda path: _write(path, bytes(range(256)) * 8),
        "NUL": lambda path: _write(path, content + b"\n\0\n"),
        "huge": lambda path: _write(path, content + b"\n#" + b"x" * 2 * 10**6),
        "cut off": lambda path: _write(path, content[: len(content) // 2] + b"'\"{["),
    }


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
