"""The paths where services expect their models: a file and its first bytes, or a folder's names,
and the content of a diffusers model."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Literal

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Weights:
    """``kind``: of the path, links followed; ``silent`` if its file system does not respond.
    ``size``: of a file, in bytes; ``begins``: its first nine bytes in hexadecimal digits;
    ``entries``: names in a folder, or next to a missing path, at most 100; ``link``: the target, if
    the path itself is a link. ``index``: the content of a folder's ``model_index.json``; if it has
    one, ``inside``: the files in its folders, such as ``vae/config.json``, with their size, at most
    1000."""

    kind: Literal["file", "folder", "absent", "silent"] = "absent"
    size: int = 0
    begins: str = ""
    entries: tuple[str, ...] = ()
    link: str = ""
    index: str = ""
    inside: tuple[tuple[str, int], ...] = ()


class ModelFiles(Fact[dict[str, Weights]]):
    """
    Returns ``Weights`` for every path.

    + paths: absolute paths
    """

    def command(self, paths: list[str]) -> StringCommand:
        return question(
            scripts.text("weights/model_files.sh"), scripts.text("weights/look.sh"), *paths
        )

    def read(self, lines: list[str]) -> dict[str, Weights]:
        found: dict[str, Weights] = {}
        path = ""
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "path":
                path = rest
                found[path] = Weights()
                continue
            known = found[path]
            if word == "link":
                found[path] = replace(known, link=rest)
            elif word == "file":
                size, _, begins = rest.partition(" ")
                found[path] = replace(known, kind="file", size=int(size), begins=begins)
            elif word == "folder":
                found[path] = replace(known, kind="folder")
            elif word == "silent":
                found[path] = replace(known, kind="silent")
            elif word == "entry":
                found[path] = replace(known, entries=(*known.entries, rest))
            elif word == "index":
                index = base64.b64decode(rest).decode(errors="replace")
                found[path] = replace(known, index=index)
            elif word == "inside":
                size, _, name = rest.partition(" ")
                found[path] = replace(known, inside=(*known.inside, (name, int(size))))
        return found
