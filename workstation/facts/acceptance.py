"""Running the probes of acceptance, all in one round trip."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import LIMIT, Fact, question

if TYPE_CHECKING:
    from workstation.acceptance import Answer, Probe

_WORKERS = 4
"""Most of a probe is waiting, but an emulated machine has no more than this to give."""

_MOST = 32768
"""Bytes that a probe may answer."""


class Answers(Fact[list["Answer"]]):
    """
    Returns the answer of every probe, in their order.

    + probes: what to run
    + seconds: how long each may take
    + limit: how long all together may take, in seconds
    """

    def command(self, probes: list[Probe], seconds: int = 300, limit: int = 1800) -> StringCommand:
        # Each value is passed once: sshd hands the whole command to a shell as one argument, for
        # which Linux has 128 KiB (MAX_ARG_STRLEN).
        places: dict[str, int] = {}
        plan = [
            [places.setdefault(value, len(places)) for value in (probe.script, *probe.arguments)]
            for probe in probes
        ]
        return question(
            scripts.text("acceptance/answers.sh"),
            *(seconds, limit, min(_WORKERS, len(probes)), _MOST),
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
    # timeout(1): 124 in time, 137 if it took a second signal.
    if status in ("124", "137"):
        text = f"{text} (no answer in time)".strip()
    return Answer(status == "0", text, int(status))
