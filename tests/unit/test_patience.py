"""Health checks tolerate load: a program that is loading a model, or a machine whose processors are
all busy for ten minutes, does not make services unhealthy."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.test_templates import RUNNING, running
from workstation.stack import seconds

BUSY = 600
"""Seconds without any answer that must not take a service's route away: a checkpoint of 24 GB that
is read from a slow disk, or a training or a build on all processors."""

NOTICED = 900
"""Seconds after which a program that has ended without its container must have been noticed."""

CHECKED = [(stack, name) for stack, name in RUNNING if name != "jaeger"]
"""Its image has no program that could ask it (test_templates.py)."""

OWN_LIMITS = {("proxy", "traefik"): 5, ("dhoch3", "dockge"): 28}
"""Seconds after which a check of the image's own gives up by itself (Traefik: cmd/healthcheck,
Dockge: extra/healthcheck)."""


def limit(stack: str, name: str, check: dict[str, Any]) -> int:
    """Return the seconds that one check waits for an answer."""
    said = re.search(r"timeout=(\d+)", " ".join(map(str, check.get("test", ()))))
    own = int(said[1]) if said else OWN_LIMITS.get((stack, name), seconds(check["timeout"]))
    return min(own, seconds(check["timeout"]))


@pytest.mark.parametrize(("stack", "name"), CHECKED)
def test_no_answer_for_ten_minutes_is_no_fault(stack: str, name: str):
    """Docker counts ``retries`` consecutive failures, ``interval`` apart; each takes as long as its
    timeout (docs.docker.com/reference/dockerfile, HEALTHCHECK)."""
    check = running(stack)[name]["healthcheck"]
    pauses = (check["retries"] - 1) * seconds(check["interval"])
    assert check["retries"] * limit(stack, name, check) + pauses >= BUSY
    assert pauses <= NOTICED


@pytest.mark.parametrize(("stack", "name"), CHECKED)
def test_a_check_has_time_to_start(stack: str, name: str):
    """Its own program has to wait for a processor too."""
    check = running(stack)[name]["healthcheck"]
    assert seconds(check["timeout"]) >= 60
    assert limit(stack, name, check) <= seconds(check["timeout"])
