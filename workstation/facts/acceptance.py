"""Running the probes of acceptance, all in one round trip."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pyinfra.api import StringCommand

from workstation.facts.shell import LIMIT, Fact, question

if TYPE_CHECKING:
    from workstation.acceptance import Answer, Probe

_WORKERS = 4
"""Most of a probe is waiting, but an emulated machine has no more than this to give."""

_MOST = 32768
"""Bytes that a probe may answer."""

# Probes write to files. Whoever is stuck where no signal reaches it, such as a file server that is
# gone, is left behind when the time is up.
_BEGIN = """
seconds=$1 ticks=$(($2 * 2))
PATH=$PATH:/usr/sbin:/sbin; export PATH
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
probe() {
  number=$1; shift
  timeout -k 5 "$seconds" sh -c "$@" >"$folder/$number" 2>&1
  echo $? >"$folder/$number.status"
}
"""
_END = """
while [ "$ticks" -gt 0 ]; do
  number=0
  while [ -e "$folder/$number.done" ]; do number=$((number + 1)); done
  [ "$number" -lt "$workers" ] || break
  sleep 0.5; ticks=$((ticks - 1))
done
number=0
while [ "$number" -lt "$probes" ]; do
  status=124
  [ ! -e "$folder/$number.status" ] || read -r status <"$folder/$number.status"
  answer=$(head -c "$most" "$folder/$number" 2>/dev/null | base64 -w0)
  echo "$status $answer"
  number=$((number + 1))
done
"""


class Answers(Fact[list["Answer"]]):
    """
    Returns the answer of every probe, in their order.

    + probes: what to run
    + seconds: how long each may take
    + limit: how long all together may take, in seconds
    """

    @staticmethod
    def default() -> list[Answer]:
        return []

    def command(self, probes: list[Probe], seconds: int = 300, limit: int = 1800) -> StringCommand:
        # Each value is passed once: sshd hands the whole command to a shell as one argument, for
        # which Linux has 128 KiB (MAX_ARG_STRLEN).
        places: dict[str, int] = {}

        def place(value: str) -> str:
            return f'"${{{places.setdefault(value, len(places) + 3)}}}"'

        calls: list[list[str]] = [[] for _ in range(min(_WORKERS, len(probes)))]
        for number, probe in enumerate(probes):
            values = " ".join(place(value) for value in probe.arguments)
            call = f"probe {number} {place(probe.script)} sh {values}"
            calls[number % _WORKERS].append(call)
        workers = [
            f'( {"; ".join(lines)}; : >"$folder/{worker}.done" ) >/dev/null 2>&1 </dev/null &'
            for worker, lines in enumerate(calls)
        ]
        steps = [
            _BEGIN.strip(),
            *workers,
            f"workers={len(workers)} probes={len(probes)} most={_MOST}",
            _END.strip(),
        ]
        return question("\n".join(steps), seconds, limit, *places, limit=limit + LIMIT)

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
