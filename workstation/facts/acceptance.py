"""Running the probes of acceptance, all in one round trip."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import script

if TYPE_CHECKING:
    from workstation.acceptance import Answer, Probe


class Answers(FactBase[list["Answer"]]):
    """
    Returns the answer of every probe, in their order.

    + probes: what to run
    + seconds: how long each may take
    """

    @staticmethod
    def default() -> list[Answer]:
        return []

    def command(self, probes: list[Probe], seconds: int = 120) -> StringCommand:
        # Side by side, since most of a probe is waiting; each answer in a file of its own.
        steps = ["folder=$(mktemp -d); trap 'rm -rf \"$folder\"' EXIT"]
        values: list[str] = [str(seconds)]
        for number, probe in enumerate(probes):
            start = len(values) + 1
            values += [probe.script, *probe.arguments]
            last = len(values)
            places = " ".join(f'"${{{place}}}"' for place in range(start + 1, last + 1))
            steps.append(
                f'( timeout "$1" sh -c "${{{start}}}" sh {places}'
                f' >"$folder/{number}" 2>&1 </dev/null;'
                f' echo $? >"$folder/{number}.status" ) &'
            )
            if number % 4 == 3:
                steps.append("wait")
        steps.append("wait")
        steps.append(
            f"number=0; while [ $number -lt {len(probes)} ]; do"
            ' echo "$(cat "$folder/$number.status") $(base64 -w0 "$folder/$number")";'
            " number=$((number + 1)); done"
        )
        return script("\n".join(steps), *values)

    def process(self, output: list[str]) -> list[Answer]:
        from workstation.acceptance import Answer

        answers = []
        for line in output:
            status, _, encoded = line.partition(" ")
            text = base64.b64decode(encoded).decode(errors="replace").strip()
            if status == "124":
                text = f"{text} (no answer in time)".strip()
            answers.append(Answer(status == "0", text))
        return answers
