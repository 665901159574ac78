"""Runs Compose itself on every case of ``tests/unit/compose_corpus.py``, and records its verdicts:
``python -m tests.verdicts PROGRAM``, where PROGRAM is docker-compose 2.40 of Debian or Docker
(`usr/libexec/docker/cli-plugins/docker-compose` of a package; no Engine is needed).

Also lists the keys of the schema in that program that ``EVERYTHING`` lacks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.unit import compose_corpus
from tests.unit.wrong_outcomes import dump


def takes(program: str, content: Any) -> tuple[bool, str]:
    """Return whether Compose accepts a file, and its output."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compose.yaml"
        file.write_text(dump(content))
        done = subprocess.run(
            [program, "-f", str(file), "config", "-q"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": folder},
        )
    return done.returncode == 0, done.stderr.strip()


def schema_keys(program: str) -> set[str]:
    """Return the names of all keys in the schema of a Compose program."""
    binary = Path(program).read_bytes()
    found = re.search(rb'\{\s*"\$schema"[^}]{0,200}compose_spec', binary)
    if not found:
        sys.exit(f"{program} holds no schema")
    start = found.start()
    text = binary[start : start + 2**18].decode(errors="replace")
    schema, _ = json.JSONDecoder().raw_decode(text)
    return set(_names(schema))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _names(value)


def main(program: str) -> None:
    taken, said = takes(program, compose_corpus.EVERYTHING)
    if not taken:
        sys.exit(f"Compose refuses the file that has everything: {said}")
    used = {part for path in compose_corpus.places(compose_corpus.EVERYTHING) for part in path}
    lacking = sorted(schema_keys(program) - used)
    print("keys that no case has:", ", ".join(lacking))
    found = list(compose_corpus.cases())
    with ThreadPoolExecutor() as pool:
        verdicts = pool.map(
            lambda case: takes(program, compose_corpus.changed(case[1], case[2], case[3]))[0], found
        )
        lines: dict[str, str] = {}
        for (name, *_), verdict in zip(found, verdicts, strict=True):
            lines[name] = lines.get(name, "") + ("y" if verdict else "n")
    compose_corpus.RECORDED.parent.mkdir(exist_ok=True)
    compose_corpus.RECORDED.write_text(
        "# What Compose 2.40.3 says of the cases of tests/unit/compose_corpus.py: y, or n for\n"
        "# one that it refuses. Made by tests/verdicts.py.\n"
        + "".join(f"{name}\t{letters}\n" for name, letters in lines.items())
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.verdicts PROGRAM (a docker-compose 2.40)")
    main(sys.argv[1])
