"""The table in docs/hardening.md says what the templates do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.test_templates import ROOT, SOCKET, data, mounts, render, running
from workstation import settings

TEXT = (ROOT / "docs/hardening.md").read_text()
SETTINGS = settings.load(settings.defaults(ROOT / "group_data/all.py"))
STACK_OF = {name: stack for stack in ("proxy", "dhoch3") for name in running(stack)}


def table() -> dict[str, dict[str, str]]:
    """Return service -> column -> cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TEXT.splitlines()
        if line.startswith("|")
    ]
    head, _, *body = rows
    assert all(len(row) == len(head) for row in body)
    columns = [name.strip("`") for name in head]
    return {row[0].strip("`"): dict(zip(columns[1:], row[1:], strict=True)) for row in body}


TABLE = table()


def keys(name: str) -> dict[str, Any]:
    """Return a service of the rendered Compose file."""
    return running(STACK_OF[name])[name]


def user(name: str) -> str:
    """Return as whom a service runs: what its Dockerfile ends with, or its image is made for."""
    if "build" in keys(name):
        dockerfile = render(STACK_OF[name]).files[f"{name}/Dockerfile"].decode()
        return f"`{re.findall(r'^USER (.*)$', dockerfile, re.MULTILINE)[-1]}`"
    becomes = keys(name).get("environment", {}).get("CONTAINER_UID")
    return f"root, then `{becomes}`" if becomes else "root"


def socket(name: str) -> str:
    """Return how a service has the Docker socket."""
    modes = [read_only for source, _, read_only in mounts(keys(name)) if source == SOCKET]
    return {True: "read-only", False: "read-write"}[modes[0]] if modes else "-"


def test_its_rows_are_the_services_that_run():
    """Traefik, and then those of the stack in their order."""
    assert list(TABLE) == list(STACK_OF)


@pytest.mark.parametrize("name", STACK_OF)
def test_a_row_is_what_the_compose_file_says(name: str):
    """Cell for cell."""
    found = keys(name)
    assert TABLE[name] == {
        "runs as": user(name),
        "capabilities": ", ".join(found.get("cap_add", [])) or "-",
        "root file system": "read-only" if found.get("read_only") else "writable",
        "Docker socket": socket(name),
        **{key: str(found.get(key, "-")) for key in ("pids_limit", "mem_limit", "oom_score_adj")},
    }


@pytest.mark.parametrize("name", STACK_OF)
def test_what_holds_for_all_is_true_of_each(name: str):
    """Nothing that would take from a container what keeps it apart."""
    found = keys(name)
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["cap_drop"] == ["ALL"]
    assert not found.keys() & {
        *("privileged", "user", "userns_mode", "pid", "ipc", "uts", "cgroup", "network_mode"),
        *("devices", "device_cgroup_rules", "cgroup_parent", "group_add", "sysctls"),
    }


@pytest.mark.parametrize("name", STACK_OF)
def test_why_not_more_is_told_of_each(name: str):
    """In the list below the table."""
    reasons = TEXT.partition("## Why not more")[2].partition("\n## ")[0]
    told = re.findall(r"^- (\*\*.*?\*\*):", reasons, re.MULTILINE)
    assert f"**{name}**" in ", ".join(told).split(", ")
    for capability in keys(name).get("cap_add", []):
        assert f"`{capability}`" in reasons


def test_every_entry_of_the_limits_is_a_service():
    """One that is misspelt would limit nothing."""
    assert set(data("dhoch3")["limits"]) - {"default"} <= set(running("dhoch3"))


def test_a_services_own_limit_goes_before_the_default():
    """And the others keep the default; a limit that has no default is added."""
    limits = {"default": {"pids_limit": 9}, "forge": {"pids_limit": 10, "mem_limit": "48gb"}}
    found = running("dhoch3", changed={"limits": limits})
    assert (found["forge"]["pids_limit"], found["forge"]["mem_limit"]) == (10, "48gb")
    assert (found["fluxgym"]["pids_limit"], found["fluxgym"].get("mem_limit")) == (9, None)


def test_a_training_run_is_within_the_limits():
    """Workers times threads; memory is the machine's."""
    for name in ("fluxgym", "ai-toolkit", "comfyui"):
        assert keys(name)["pids_limit"] >= 4096
        assert "mem_limit" not in keys(name)


def test_the_proxys_limits_are_settings():
    """It is in no inventory group that could have data of its own."""
    (traefik,) = running("proxy", proxy_pids_limit=99, proxy_mem_limit="0").values()
    assert (traefik["pids_limit"], traefik["mem_limit"]) == (99, 0)
