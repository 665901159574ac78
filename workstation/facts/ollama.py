"""The native Ollama: its release, its origin, and its unit."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question
from workstation.units.files import UnitFile, drop_ins


@dataclass(frozen=True)
class OllamaState:
    """``target``: where ``/usr/local/bin/ollama`` points (itself for a plain file, empty without
    one). ``releases``: the completely unpacked releases. ``foreign_models``: a store with models
    that install.sh's service used. ``models``: whether the configured store has any.
    ``libraries``: whether ``/usr/local/lib/ollama`` exists, as created by install.sh.

    ``unit``: the effective file of ``ollama.service``, None without one; ``drop_ins``: in systemd's
    order; ``variables``: the files that ``EnvironmentFile=`` names, with Ollama's own variables;
    ``masked``: the link to ``/dev/null`` in place of the unit; ``met``, ``unmet``: the conditions
    of drop-ins that are true or false now, as written, if systemd can evaluate them."""

    target: str = ""
    releases: tuple[str, ...] = ()
    foreign_models: str = ""
    models: bool = False
    libraries: bool = False
    unit: UnitFile | None = None
    drop_ins: tuple[UnitFile, ...] = ()
    variables: tuple[UnitFile, ...] = ()
    masked: str = ""
    met: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()


class Ollama(Fact[OllamaState]):
    """
    Returns the ``OllamaState`` of the host.

    + releases: folder of the unpacked releases
    + models: the configured model store
    """

    def command(self, releases: str, models: str) -> StringCommand:
        return question(scripts.text("ollama/ollama.sh"), releases, models)

    def read(self, lines: list[str]) -> OllamaState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        unit = _files(pairs, "unit")
        return OllamaState(
            target=words.get("target", ""),
            releases=tuple(value for word, value in pairs if word == "release"),
            foreign_models=words.get("foreign-models", ""),
            models="models" in words,
            libraries="libraries" in words,
            unit=unit[0] if unit else None,
            drop_ins=tuple(drop_ins(_files(pairs, "drop-in"))),
            variables=tuple(_files(pairs, "variables")),
            masked=words.get("masked", ""),
            met=tuple(value for word, value in pairs if word == "met"),
            unmet=tuple(value for word, value in pairs if word == "unmet"),
        )


def _files(pairs: list[tuple[str, str]], wanted: str) -> list[UnitFile]:
    """Return the files that an answer lists under one word, each path and text in base64."""
    files = []
    for word, rest in pairs:
        if word == wanted:
            path, _, text = rest.partition(" ")
            decoded = [base64.b64decode(one).decode(errors="replace") for one in (path, text)]
            files.append(UnitFile(*decoded))
    return files
