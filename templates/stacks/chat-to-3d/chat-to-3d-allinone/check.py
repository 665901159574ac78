"""Acceptance, run in the container: a line of JSON for each program and service, and for a sentence
that becomes a GLB file through the page's own API. Removes what it made."""

from __future__ import annotations

import html
import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from glb import wrong
from hand_over import problem
from options import LLM, PAGE, PROGRAMS, TRELLIS, Options, one_line, options
from supervision import RUNNING, STOPPED, Supervision
from troubles import MARK

_LOADING = 900
"""Seconds for a model that is being loaded."""
_LOADS = ("being loaded", "still be loading")
"""What the services say then."""
_AWAY = 30
"""Seconds for a server that does not answer: it may be starting."""
_LATELY = timedelta(minutes=10)
_LOOP = 3
"""Ends within that time that make a loop of them."""
_KEPT = 2
"""Objects of the scene that get a picture."""
_USED = 60
"""Seconds after the last work in which somebody is still using the page."""
_SCENE = "A reading corner with an armchair"


class CheckError(Exception):
    """A check that failed: what was seen, and what to do."""

    def __init__(self, evidence: str, fix: str) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.fix = fix


@dataclass(frozen=True)
class Line:
    """One finding."""

    name: str
    ok: bool
    evidence: str
    fix: str = ""


def ends(log: str, program: str, now: datetime) -> tuple[int, int]:
    """Return how often supervisord's log says that a program ended unexpectedly: in all, and
    within the last ten minutes."""
    form = re.compile(
        rf"^(\S+ \S+),\d+ \w+ exited: {re.escape(program)} \(.*; not expected\)", re.MULTILINE
    )
    times = [datetime.strptime(found, "%Y-%m-%d %H:%M:%S") for found in form.findall(log)]
    return len(times), sum(now - one < _LATELY for one in times)


def program_line(
    name: str, known: dict[str, Any], counted: tuple[int, int], paused: bool, tail: str
) -> Line:
    """Return the finding for a program.

    + known: what supervisord says of it
    + counted: its unexpected ends, in all and lately
    + paused: whether the page stopped the LLM to make room on the GPU
    + tail: the end of its log
    """
    state = str(known.get("statename", "unknown"))
    resting = name == LLM and paused and state in STOPPED
    total, lately = counted
    seen = f"{state}, {total} unexpected ends"
    if resting:
        seen = "stopped by the page to make room on the GPU"
    elif state == RUNNING:
        seen = f"{state} for {known['now'] - known['start']} s, {total} unexpected ends"
    # One of a user's may have ended as it should.
    ended = name not in PROGRAMS and state in ("STOPPED", "EXITED")
    if (resting or ended or state == RUNNING) and lately < _LOOP:
        return Line(f"chat-to-3d: {name}", True, seen)
    last = " / ".join(tail.strip().splitlines()[-4:])
    return Line(
        f"chat-to-3d: {name}",
        False,
        f"{seen}, {lately} of them in the last 10 minutes; its last lines: {one_line(last, 600)}",
        f"look at `supervisorctl tail {name} stderr` in the container.",
    )


def programs(given: Options, supervision: Supervision) -> Iterator[Line]:
    """Yield a finding for each program, and those that a user has added. Raises OSError."""
    known = supervision.programs()
    log = (given.logs / "supervisord.log").read_text(errors="replace")
    for name in [*PROGRAMS, *(set(known) - set(PROGRAMS) - {"relay"})]:
        tail = supervision.tail(name, "Stderr") or supervision.tail(name, "Stdout")
        counted = ends(log, name, datetime.now())
        yield program_line(name, known.get(name, {}), counted, supervision.llm_is_paused, tail)


def service(given: Options, program: str, fix: str) -> Line:
    """Return whether a service is ready; wait for it while it loads its model."""
    began = time.monotonic()
    while why := problem(given, program):
        waited = time.monotonic() - began
        if waited > (_LOADING if any(words in why for words in _LOADS) else _AWAY):
            return Line(f"chat-to-3d: {program} is ready", False, why, fix)
        time.sleep(2)
    took = time.monotonic() - began
    return Line(f"chat-to-3d: {program} is ready", True, f"ready after {took:.0f} s")


def in_use(given: Options, now: float) -> str:
    """Return a sentence if somebody is using the page; an empty text if not."""
    file = given.run / "page-in-use"
    try:
        state, age = file.read_text(), now - file.stat().st_mtime
    except FileNotFoundError:
        return ""
    if state == "busy":
        return f"not tried: somebody is using the page, which has been at work for {age:.0f} s"
    return f"not tried: somebody used the page {age:.0f} s ago" if age < _USED else ""


def files(said: Any, folder: Path) -> list[Path]:
    """Return the files in a folder that an answer of the page names."""
    found = []
    if isinstance(said, dict):
        path = said.get("path")
        if isinstance(path, str) and Path(path).is_relative_to(folder):
            found.append(Path(path))
    inner = (
        said.values() if isinstance(said, dict) else said if isinstance(said, list | tuple) else ()
    )
    return found + [one for part in inner for one in files(part, folder)]


class Journey:
    """A sentence on its way to a GLB file, through the page's API."""

    def __init__(self, given: Options, supervision: Supervision) -> None:
        from gradio_client import Client

        self._given = given
        self._supervision = supervision
        self._client = Client(
            given.address(PAGE),
            verbose=False,
            download_files=False,
            analytics_enabled=False,
            httpx_kwargs={"timeout": 120},
        )
        self._made: list[Path] = []
        self._troubles = len(self._lines())

    def _lines(self) -> list[str]:
        lines = self._supervision.tail(PAGE, "Stdout", 200_000).splitlines()
        return [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]

    def _trouble(self) -> str:
        """Return what the page said of a failure since the beginning."""
        new = self._lines()[self._troubles :]
        return new[-1] if new else "the page does not say why"

    def _do(self, name: str, *values: Any) -> Any:
        said = self._client.predict(*values, api_name=f"/{name}")
        self._made += files(said, self._given.outputs)
        return said

    def objects(self) -> int:
        """Plan a scene; return how many objects it has. Raises CheckError."""
        message, shown = self._do("handle_scene_input", self._given.text("CHECK_SCENE", _SCENE))
        found = re.search(r"(\d+) objects", str(message))
        if not found:
            text = re.sub(r"<[^>]*>", " ", html.unescape(str(shown.get("value", message))))
            raise CheckError(
                f"no objects: {one_line(text)}",
                "look at `supervisorctl tail llm-service stderr` in the container.",
            )
        count = int(found[1])
        for index in range(count - 1, _KEPT - 1, -1):
            self._do(f"delete_specific_card_{index}")
        return count

    def pictures(self) -> list[Path]:
        """Draw the first objects; return the pictures. Raises CheckError."""
        for name in (
            *("reveal_workspace", "mark_images_generating", "stop_llm_container"),
            "generate_images_for_gallery",
        ):
            self._do(name)
        made = files(self._do("shift_card_ui"), self._given.outputs)
        if not made:
            raise CheckError(
                f"no picture: {self._trouble()}",
                "look at `supervisorctl tail gradio-app stderr` in the container.",
            )
        return made

    def model(self) -> tuple[Path, int]:
        """Make the first object 3D; return its file and size in bytes. Raises CheckError."""
        fix = "look at `supervisorctl tail trellis-service stderr` in the container."
        self._do("generate_3d_for_card")
        self._do("perform_3d_generation")
        shown = self._do("click_handler")
        made = [one for one in files(shown, self._given.outputs) if one.suffix == ".glb"]
        if not made:
            raise CheckError(f"no 3D: {self._trouble()}", fix)
        url = f"{self._given.address(PAGE)}/gradio_api/file={made[0]}"
        with urllib.request.urlopen(url, timeout=120) as answer:
            contents: bytes = answer.read()
        if why := wrong(contents):
            raise CheckError(f"{made[0].name} is no valid GLB file: {why}", fix)
        return made[0], len(contents)

    def clean_up(self) -> str:
        """Remove what was made, and leave the page; return what could not be removed."""
        left = []
        for file in set(self._made):
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                left.append(f"{file} could not be removed: {error.strerror}")
        self._do("go_to_first_screen")
        (self._given.run / "page-in-use").unlink(missing_ok=True)
        return "; ".join(left)


def journey(given: Options, supervision: Supervision) -> Line:
    """Return the finding for the whole way."""
    if why := in_use(given, time.time()):
        # Under another name, which proves no criterion.
        return Line("chat-to-3d: the page is in use", True, why)
    without_3d = given.text("TRELLIS_BACKEND", "none") == "none"
    name = f"chat-to-3d: a sentence to {'pictures' if without_3d else 'a GLB file'}"
    times, began = [], time.monotonic()

    def took(what: str) -> None:
        nonlocal began
        times.append(f"{what} in {time.monotonic() - began:.1f} s")
        began = time.monotonic()

    going = None
    try:
        going = Journey(given, supervision)
        took(f"{going.objects()} objects")
        took(f"{len(going.pictures())} pictures")
        if without_3d:
            times.append("no 3D: TRELLIS_BACKEND=none")
        else:
            _, size = going.model()
            took(f"a GLB file of {size} bytes")
        line = Line(name, True, ", ".join(times))
    except CheckError as error:
        line = Line(name, False, ", ".join([*times, error.evidence]), error.fix)
    except Exception as error:
        # Whatever the page's client raises: the page is gone, or has changed.
        seen = f"{type(error).__name__}: {one_line(error)}"
        fix = "look at `supervisorctl tail gradio-app stderr` in the container."
        line = Line(name, False, ", ".join([*times, seen]), fix)
    try:
        left = going.clean_up() if going else ""
    except Exception as error:
        left = f"the page could not be left: {type(error).__name__}: {one_line(error)}"
    return Line(line.name, line.ok, f"{line.evidence}; {left}" if left else line.evidence, line.fix)


def main() -> int:
    """Print the findings; return 0 if all are good."""
    given = options()
    supervision = Supervision(given)
    good = True

    def say(line: Line) -> bool:
        nonlocal good
        good = good and line.ok
        print(json.dumps(asdict(line)), flush=True)
        return line.ok

    try:
        for line in programs(given, supervision):
            say(line)
    except OSError as error:
        fix = "look at `docker compose logs chat-to-3d-allinone`."
        say(Line("chat-to-3d: supervisord", False, f"it does not answer: {error}", fix))
        return 1
    llm = supervision.llm_is_paused or say(
        service(given, LLM, "look at llm, llm_url and llm_model, and at docs/chat-to-3d.md.")
    )
    say(service(given, TRELLIS, "look at trellis and trellis_url, and at docs/chat-to-3d.md."))
    if llm:
        say(journey(given, supervision))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
