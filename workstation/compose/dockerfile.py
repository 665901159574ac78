"""What a Dockerfile needs from its build context (docs.docker.com/reference/dockerfile)."""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
from collections.abc import Collection, Iterator


def problem(text: str, files: Collection[str]) -> str:
    """Return why the image cannot be built, or an empty string.

    + text: text of the Dockerfile
    + files: paths in its context
    """
    instructions = list(_instructions(text))
    if not instructions or instructions[0][0] not in ("FROM", "ARG"):
        return "does not begin with FROM"
    for source in (one for name, words in instructions for one in _sources(name, words)):
        path = posixpath.normpath(source.lstrip("/"))
        folder = path == "." or any(file.startswith(f"{path}/") for file in files)
        if not folder and not fnmatch.filter(files, path) and not _in_folder(path, files):
            return f"uses {source}, which is not in its folder"
    return ""


def _in_folder(pattern: str, files: Collection[str]) -> bool:
    """Return whether a pattern matches a folder."""
    parents = {
        file.rsplit("/", depth)[0] for file in files for depth in range(1, file.count("/") + 1)
    }
    return bool(fnmatch.filter(parents, pattern))


def _instructions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each instruction in capitals with its words, with continued lines joined."""
    lines = (line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")
    whole = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    for line in whole.splitlines():
        name, _, rest = line.strip().partition(" ")
        try:
            words = json.loads(rest) if rest.lstrip().startswith("[") else rest.split()
        except ValueError:
            words = rest.split()
        yield name.upper(), [str(word) for word in words]


def _sources(name: str, words: list[str]) -> Iterator[str]:
    """Yield the paths that an instruction uses from the context, except those in another image, at
    an address, or with a variable."""
    options = [word for word in words if word.startswith("--")]
    found = []
    if name in ("COPY", "ADD") and not any(option.startswith("--from=") for option in options):
        found = [word for word in words if word not in options][:-1]
    if name == "RUN":
        for option in options:
            mount = dict(part.partition("=")[::2] for part in option.partition("=")[2].split(","))
            if option.startswith("--mount=") and mount.get("type", "bind") == "bind":
                found += [] if "from" in mount else [mount.get("source", mount.get("src", "."))]
    for source in found:
        if not re.search(r"://|^git@|\$|<<", source):
            yield source
