"""What stands where services expect their models: a file and how it begins, or a folder's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Weights:
    """``kind`` of the path, links followed; ``size`` in bytes and ``begins``, the first eight bytes
    in hexadecimal digits, of a file; ``entries``: names in a folder, or beside a path that is not
    there, at most 100."""

    kind: Literal["file", "folder", "absent"] = "absent"
    size: int = 0
    begins: str = ""
    entries: tuple[str, ...] = ()


class ModelFiles(Fact[dict[str, Weights]]):
    """
    Returns ``Weights`` for every path.

    + paths: absolute paths
    """

    @staticmethod
    def default() -> dict[str, Weights]:
        return {}

    def command(self, paths: list[str]) -> StringCommand:
        return question(
            """
            for path in "$@"; do
              echo "path $path"
              folder=$path
              if [ -f "$path" ]; then
                echo "file $(stat -Lc %s -- "$path") $(head -c 8 -- "$path" \
                  | od -An -tx1 | tr -d ' \\n')"
                continue
              elif [ -d "$path" ]; then
                echo folder
              else
                folder=${path%/*}
              fi
              ls -1 -- "$folder" 2>/dev/null | head -n 100 | sed 's/^/entry /'
            done
            """,
            *paths,
        )

    def read(self, lines: list[str]) -> dict[str, Weights]:
        found: dict[str, Weights] = {}
        path = ""
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "path":
                path = rest
                found[path] = Weights()
            elif word == "file":
                size, _, begins = rest.partition(" ")
                found[path] = Weights("file", int(size), begins)
            elif word == "folder":
                found[path] = Weights("folder")
            elif word == "entry":
                known = found[path]
                found[path] = Weights(known.kind, entries=(*known.entries, rest))
        return found
