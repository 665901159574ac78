"""Who has the GPU's memory: the LLM of this container, or pictures and 3D."""

from __future__ import annotations

import time

import requests
from options import LLM, Options, one_line
from supervision import Supervision

_LOADING = 900.0
"""Seconds for a model to be loaded before a scene."""


def problem(given: Options, program: str) -> str:
    """Return why one of the two services cannot be used, in a sentence; empty if it can."""
    try:
        answer = requests.get(f"{given.address(program)}/v1/health/ready", timeout=12)
        return "" if answer.ok else str(answer.json()["message"])
    except requests.Timeout:
        return f"The program {program} does not answer; `supervisorctl tail {program}` may say why."
    except (requests.RequestException, ValueError, KeyError):
        return f"The program {program} does not answer; it is being started."


class HandOver:
    """Stops the LLM for pictures and 3D where the GPU is small, and starts it for a scene."""

    def __init__(self, given: Options) -> None:
        self._given = given
        self._supervision = Supervision(given)

    @property
    def paused(self) -> bool:
        """Whether the LLM was stopped here, and starts with the next scene."""
        return self._given.llm_is_ours and self._supervision.llm_is_paused

    def pause(self) -> bool:
        """Stop the LLM; return whether that needed anything. One elsewhere is left alone."""
        if not self._given.llm_is_ours or self.paused:
            return False
        try:
            self._supervision.pause_llm()
        except OSError as error:
            print(f"{LLM} could not be stopped: {one_line(error)}", flush=True)
            return False
        return True

    def resume(self) -> None:
        """Start the LLM if it was stopped here."""
        if not self.paused:
            return
        try:
            self._supervision.start_llm()
        except OSError as error:
            print(f"{LLM} could not be started: {one_line(error)}", flush=True)

    def wake(self) -> str:
        """Start the LLM and wait until it is ready; return why it is not, or an empty text."""
        woken = self.paused
        self.resume()
        deadline = time.monotonic() + (_LOADING if woken else 0)
        while (why := problem(self._given, LLM)) and time.monotonic() < deadline:
            time.sleep(1)
        return why
