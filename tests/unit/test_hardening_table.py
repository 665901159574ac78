"""The table in docs/hardening.md matches the templates."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit import markdown
from tests.unit.test_templates import ROOT, SOCKET, SUDO, data, mounts, render, running
from tests.unit.test_templates import STACKS as ALL_STACKS

TEXT = (ROOT / "docs/hardening.md").read_text()
STACKS = ("proxy", "dhoch3", "knowledge-center", "prometheus", "imagen", "chat-to-3d")
VLLM = "llm-server (vLLM)"


def rows() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return row -> stack, and the service in the rendered Compose file. A name that an earlier
    stack has too is followed by the stack's."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for stack in STACKS:
        for name, keys in running(stack).items():
            found[f"{name} ({stack})" if name in found else name] = (stack, keys)
        if stack == "knowledge-center":
            other = running(stack, changed={"llm_backend": "vllm"})
            found[VLLM] = (stack, other["llm-server"])
    return found


ROWS = rows()


def table() -> dict[str, dict[str, str]]:
    """Return service -> column -> cell."""
    head, body = markdown.table(TEXT.partition("\n## ")[0])
    columns = [name.strip("`") for name in head]
    return {row[0].replace("`", ""): dict(zip(columns[1:], row[1:], strict=True)) for row in body}


TABLE = table()


def keys(name: str) -> dict[str, Any]:
    """Return the service of a row."""
    return ROWS[name][1]


def user(name: str) -> str:
    """Return the user that a service runs as: from its Compose file, from the end of its
    Dockerfile, or from its image."""
    stack, found = ROWS[name]
    if "user" in found:
        return f"`{found['user']}`"
    if "build" in found:
        path = found["build"].removeprefix("./") + "/Dockerfile"
        dockerfile = render(stack).files[path].decode()
        return f"`{re.findall(r'^USER (.*)$', dockerfile, re.MULTILINE)[-1]}`"
    given = found.get("environment", {})
    if name in SUDO:
        return f"the image's user, then `{given['WANTED_UID']}:{given['WANTED_GID']}`"
    return f"root, then `{given['CONTAINER_UID']}`" if "CONTAINER_UID" in given else "root"


def socket(name: str) -> str:
    """Return a service's access to the Docker socket."""
    modes = [read_only for source, _, read_only in mounts(keys(name)) if source == SOCKET]
    return {True: "read-only", False: "read-write"}[modes[0]] if modes else "-"


def test_its_rows_are_the_services_that_run():
    """Traefik first, then the services of each stack in order; none is missing."""
    assert list(TABLE) == list(ROWS)
    assert set(STACKS) == set(ALL_STACKS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_the_compose_file_says(name: str):
    """Cell for cell."""
    found = keys(name)
    assert TABLE[name] == {
        "stack": ROWS[name][0],
        "runs as": user(name),
        "capabilities": ", ".join(found.get("cap_add", [])) or "-",
        "root file system": "read-only" if found.get("read_only") else "writable",
        "Docker socket": socket(name),
        **{key: str(found.get(key, "-")) for key in ("pids_limit", "mem_limit", "oom_score_adj")},
    }


@pytest.mark.parametrize("name", ROWS)
def test_what_holds_for_all_is_true_of_each(name: str):
    """Nothing weakens the isolation of a container."""
    found = keys(name)
    assert found.get("security_opt", []) == ([] if name in SUDO else ["no-new-privileges=true"])
    assert found["cap_drop"] == ["ALL"]
    assert found.get("group_add", []) == (["2000"] if name in (VLLM, "triton") else [])
    assert not found.keys() & {
        *("privileged", "userns_mode", "pid", "ipc", "uts", "cgroup", "network_mode"),
        *("devices", "device_cgroup_rules", "cgroup_parent", "sysctls"),
    }


@pytest.mark.parametrize("name", ROWS)
def test_why_not_more_is_told_of_each(name: str):
    """In the list below the table."""
    reasons = TEXT.partition("## Why not more")[2].partition("\n## ")[0]
    told = re.findall(r"^- (\*\*.*?\*\*):", reasons, re.MULTILINE)
    assert f"**{name.partition(' ')[0]}**" in ", ".join(told).split(", ")
    for capability in keys(name).get("cap_add", []):
        assert f"`{capability}`" in reasons


@pytest.mark.parametrize("stack", STACKS[1:])
def test_every_entry_of_the_limits_is_a_service(stack: str):
    """A misspelled one would limit nothing."""
    assert set(data(stack)["limits"]) - {"default"} <= set(running(stack))


def test_a_services_own_limit_goes_before_the_default():
    """All others keep the default; a limit without a default is added."""
    limits = {"default": {"pids_limit": 9}, "forge": {"pids_limit": 10, "mem_limit": "48gb"}}
    found = running("dhoch3", changed={"limits": limits})
    assert (found["forge"]["pids_limit"], found["forge"]["mem_limit"]) == (10, "48gb")
    assert (found["fluxgym"]["pids_limit"], found["fluxgym"].get("mem_limit")) == (9, None)


def test_a_training_run_is_within_the_limits():
    """Workers times threads; memory is limited only by the machine."""
    for name in ("fluxgym", "ai-toolkit", "comfyui", "comfy"):
        assert keys(name)["pids_limit"] >= 4096
        assert "mem_limit" not in keys(name)


def test_the_proxys_limits_are_settings():
    """It is in no inventory group that could have data."""
    (traefik,) = running("proxy", proxy_pids_limit=99, proxy_mem_limit="0").values()
    assert (traefik["pids_limit"], traefik["mem_limit"]) == (99, 0)
