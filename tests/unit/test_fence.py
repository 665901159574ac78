"""The fence around our containers: their hardware addresses, and what keeps it from holding."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.acceptance_stacks import container, made_up, one
from tests.unit.test_templates import STACKS, running
from workstation.acceptance import Answer
from workstation.acceptance.containers import fence_probe
from workstation.compose import rules
from workstation.compose.actions import ProjectState
from workstation.compose.fence import EGRESS, address, addresses, is_ours
from workstation.compose.keys import reaches_host
from workstation.findings import Finding
from workstation.stack import StackError

OURS = [(stack, name) for stack in STACKS if stack != "proxy" for name in running(stack)]


def service(**changes: Any) -> dict[str, Any]:
    return {
        "image": "docker.io/library/a:1",
        "cap_drop": ["ALL"],
        "networks": {"default": {"mac_address": address("s", "a", "internet")}},
        "x-workstation": {"egress": "internet"},
        **changes,
    }


def refused(**changes: Any) -> str:
    try:
        rules.check(made_up(a=service(**changes)), "here")
    except StackError as error:
        return str(error)
    return ""


def test_an_address_says_what_its_container_may_reach():
    """Locally administered, of one machine (IEEE 802), and the same in every run."""
    found = {name: address("s", "a", name) for name in EGRESS}
    bits = {name: int(found[name].replace(":", ""), 16) >> 24 & 0xF for name in EGRESS}
    assert bits == {"lan": 0, "internet": 1, "none": 2}
    assert int(address("s", "a", "none", True).replace(":", ""), 16) >> 24 & 0xF == 6
    for text in found.values():
        assert int(text[:2], 16) & 3 == 2
        assert is_ours(text)
        assert text[-8:] == found["lan"][-8:]
    assert not is_ours("02:42:ac:11:00:02")


def test_no_two_services_have_the_same_address():
    """They meet in the proxy's network."""
    found = [address(stack, name, "lan") for stack, name in OURS]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("stack", "name"), OURS)
def test_every_service_of_ours_is_fenced_in(stack: str, name: str):
    """The default reaches no private address; the name for the machine goes with Ollama's bit."""
    keys = running(stack)[name]
    egress = keys["x-workstation"]["egress"]
    closed = stack in ("knowledge-center", "imagen") or name == "gate"
    assert egress == ("none" if closed else "internet")
    assert set(addresses(keys).values()) == {address(stack, name, egress, reaches_host(keys))}


def test_one_line_opens_the_lan_to_one_service():
    """The others keep their addresses."""
    before = running("dhoch3")
    after = running("dhoch3", changed={"egress": {"comfyui": "lan"}})
    assert after["comfyui"]["x-workstation"]["egress"] == "lan"
    assert [name for name in before if before[name] != after[name]] == ["comfyui"]
    whole = running("dhoch3", changed={"egress": {"default": "none"}})
    assert {one["x-workstation"]["egress"] for one in whole.values()} == {"none"}


def test_dockge_has_no_way_to_ollama():
    keys = running("dhoch3")["dockge"]
    assert not reaches_host(keys)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"cap_drop": ["NET_RAW"]}, ""),
        ({"cap_drop": ["CAP_NET_RAW"], "cap_add": ["CHOWN"]}, ""),
        ({"x-workstation": {"egress": "lan"}}, "needs `mac_address: 02:61:a0:"),
        ({"networks": ["default"]}, "needs `mac_address: 02:61:a1:"),
        ({"networks": {"default": None}}, "needs `mac_address: 02:61:a1:"),
        ({"networks": {"default": {"mac_address": address("s", "b", "internet")}}}, "needs `mac"),
        ({"extra_hosts": ["host.docker.internal:host-gateway"]}, "needs `mac_address: 02:61:a5:"),
        ({"networks": None, "network_mode": "host"}, "instead of `network_mode`"),
        ({"scale": 2}, "for one container"),
        ({"cap_drop": []}, "can change its address (NET_RAW)"),
        ({"cap_add": ["NET_ADMIN"]}, "can change its address (NET_ADMIN)"),
        ({"cap_add": ["cap_net_raw"]}, "can change its address (NET_RAW)"),
        ({"cap_add": ["ALL"]}, "can change its address (ALL)"),
        ({"privileged": True}, "can change its address (privileged)"),
        # An address alone says that it should hold, too.
        ({"x-workstation": {}}, "needs `mac_address: 02:61:a0:"),
    ],
)
def test_what_would_get_around_the_fence_is_refused(changes: dict[str, Any], said: str):
    """With the correction."""
    changes = {key: value for key, value in changes.items() if value is not None}
    if "network_mode" in changes:
        keys = service(**changes)
        del keys["networks"]
        with pytest.raises(StackError, match=said):
            rules.check(made_up(a=keys), "here")
        return
    assert (said in refused(**changes)) if said else not refused(**changes)


def test_a_service_that_says_nothing_stays_as_it_is():
    """Whatever its networks and capabilities are, as in stacks of your own."""
    keys = {"image": "docker.io/library/a:1", "networks": ["default"], "cap_add": ["NET_ADMIN"]}
    rules.check(made_up(a=keys), "here")


def accepted(output: str) -> Finding:
    state = ProjectState(docker=True, containers=(container("a"),))
    probe = fence_probe([(made_up(a=service()), state)])
    assert probe is not None
    assert probe.arguments[1:] == ("id-a",)
    return one(probe.findings(Answer(True, output, 0)))


@pytest.mark.parametrize(
    ("shown", "ok"),
    [
        (f'running {{"s_default": {{"MacAddress": "{address("s", "a", "internet")}"}}}}', True),
        ('running {"s_default": {"MacAddress": "02:42:ac:12:00:02"}}', False),
        ('paused {"s_default": {"MacAddress": "02:42:ac:12:00:02"}}', False),
        ('exited {"s_default": {"MacAddress": ""}}', True),
        (
            f'running {{"s_default": {{"MacAddress": "{address("s", "a", "internet")}"}}, '
            '"more": {"MacAddress": "02:42:ac:13:00:02"}}',
            False,
        ),
        ("running {}", False),
        ("running null", False),
    ],
)
def test_a_container_that_the_fence_does_not_know_is_found(shown: str, ok: bool):
    """Such as one that somebody connected to another network. One that is stopped has no address,
    and other checks tell that it is stopped."""
    finding = accepted(f"id-a {shown}")
    assert finding.ok is ok
    assert ok or "s/a" in finding.detail


def test_a_container_that_docker_does_not_show_is_none_that_the_fence_knows():
    """It may have been removed a moment before."""
    assert not accepted("Error: No such object: id-a").ok


def test_without_a_fenced_service_nothing_is_asked():
    assert fence_probe([(made_up(a={"image": "a:1"}), ProjectState())]) is None
