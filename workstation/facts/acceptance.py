"""The probes of acceptance, all run in one round trip."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import LIMIT, Fact, question

if TYPE_CHECKING:
    from workstation.acceptance import Answer, Probe

_WORKERS = 4
"""Probes mostly wait, but an emulated machine cannot run more than this at once."""

_MOST = 32768
"""Maximum size of a probe's answer, in bytes."""


class Answers(Fact[list["Answer"]]):
    """
    Returns the answer of every probe, in order.

    + probes: what to run
    + seconds: how long each may take that does not say so itself
    + limit: how long all of them may take, in seconds
    """

    def command(self, probes: list[Probe], seconds: int = 300, limit: int = 1800) -> StringCommand:
        # Each value is passed once: sshd passes the whole command to a shell as one argument, which
        # Linux limits to 128 KiB (MAX_ARG_STRLEN).
        places: dict[str, int] = {}
        plan = [
            [
                max(seconds, probe.seconds),
                *(places.setdefault(one, len(places)) for one in (probe.script, *probe.arguments)),
            ]
            for probe in probes
        ]
        return question(
            scripts.text("acceptance/answers.sh"),
            *(limit, min(_WORKERS, len(probes)), _MOST),
            "\n".join(" ".join(map(str, numbers)) for numbers in plan),
            *places,
            limit=limit + LIMIT,
        )

    def read(self, lines: list[str]) -> list[Answer]:
        return [_answer(line) for line in lines]


def _answer(line: str) -> Answer:
    from workstation.acceptance import Answer

    status, _, encoded = line.partition(" ")
    text = base64.b64decode(encoded).decode(errors="replace").strip()
    # timeout(1): 124 after its first signal, 137 after the second.
    if status in ("124", "137"):
        text = f"{text} (no answer in time)".strip()
    return Answer(status == "0", text, int(status))
