"""The container's health check: exit status 1 and a line that names a program if one of the three
does not run or does not answer. Imports little: it runs every minute."""

from __future__ import annotations

import http.client
import sys
from concurrent.futures import ThreadPoolExecutor

from options import LLM, PAGE, PROGRAMS, Options, options, without_password
from supervision import RUNNING, STOPPED, Supervision

_PATIENCE = 20.0
"""Seconds for an answer; a busy machine may need some."""


def trouble(program: str, state: str, paused: bool, given: Options) -> str:
    """Return what is wrong with a program; empty if nothing is.

    + state: supervisord's word for it
    + paused: whether the page stopped the LLM to make room on the GPU
    """
    if program == LLM and paused and state in STOPPED:
        return ""
    if state != RUNNING:
        return f"{program} is {state}"
    path = "/" if program == PAGE else "/v1/health/live"
    url = given.address(program) + path
    connection = http.client.HTTPConnection("127.0.0.1", given.port(program), timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return (
            f"{program} does not answer at {without_password(url)}: {error or type(error).__name__}"
        )
    finally:
        connection.close()
    return "" if status == 200 else f"{program} answers {status} at {url}"


def main() -> int:
    """Print what is wrong, and return the exit status."""
    given = options()
    supervision = Supervision(given, timeout=_PATIENCE)
    try:
        states = {name: one["statename"] for name, one in supervision.programs().items()}
    except OSError as error:
        print(f"supervisord does not answer: {error}")
        return 1
    paused = supervision.llm_is_paused
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        found = list(
            pool.map(lambda one: trouble(one, states.get(one, "unknown"), paused, given), PROGRAMS)
        )
    # A program of a user's is healthy as long as supervisord has not given up on it.
    found += [
        f"{name} is {state}"
        for name, state in states.items()
        if name not in PROGRAMS and state in ("BACKOFF", "FATAL")
    ]
    wrong = [one for one in found if one]
    print("; ".join(wrong) or "all programs answer")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
