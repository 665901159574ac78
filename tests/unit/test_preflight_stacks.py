"""Findings about stacks that need a GPU, and about conflicts between two of them."""

from __future__ import annotations

from typing import Any

import yaml

from tests.unit.test_templates import STACKS, render
from workstation.preflight.stacks import (
    collision_findings,
    gpu_findings,
    network_findings,
    other_networks,
)
from workstation.settings import Settings
from workstation.stack import Stack, data_key, parse


def stack(name: str = "k-c", **keys: Any) -> Stack:
    content = {"name": name, "services": {"llm": {"image": "x:1", **keys}}}
    return parse(yaml.safe_dump(content), f"/opt/stacks/{name}")


def test_a_service_that_needs_a_gpu_is_told_when_it_is_given_none():
    """The fix says what to change instead; other services are not mentioned."""
    needs = {"x-workstation": {"needs_gpu": "set layers to 0"}}
    (finding,) = gpu_findings([stack(**needs), stack("other")])
    assert (finding.ok, finding.name) == (False, "GPU for llm")
    assert finding.fix.startswith("set layers to 0 in group_data/k-c.py, or")
    (finding,) = gpu_findings([stack(gpus="all", **needs)])
    assert finding.ok


def test_a_port_or_name_that_two_services_claim_is_told():
    """Of one stack or of two; the same number with another protocol, or inside a container, is no
    conflict."""
    labels = {
        "traefik.enable": "true",
        "traefik.http.routers.x.rule": "Host(`llm.example.org`)",
    }
    name = {"container_name": "llm"}
    one = stack("one", ports=["127.0.0.1:8000:80", "9000:9000/udp"], labels=labels, **name)
    two = stack("two", ports=["8000:8000", "9000:9000"], labels=labels, **name)
    found = {finding.name: finding.detail for finding in collision_findings([one, two])}
    assert found == {
        "port 8000": "it is claimed by one/llm and two/llm",
        "host name llm.example.org": "it is claimed by one/llm and two/llm",
        "container name llm": "it is claimed by one/llm and two/llm",
    }
    assert not list(collision_findings([one]))
    (finding,) = collision_findings([one], {"port 8000": "a program"})
    assert finding.detail == "it is claimed by a program and one/llm"


def test_all_stacks_of_this_repository_run_on_one_machine():
    """No port, name, key of data, or folder of the share is used twice."""
    rendered = [render(name) for name in STACKS]
    found = [stack.model for stack in rendered]
    assert list(collision_findings(found)) == []
    keys = [data_key(name) for name in STACKS if name != "proxy"]
    assert len(keys) == len(set(keys))
    assert not set(keys) & set(Settings.model_fields)
    folders = [one.path for stack in rendered for one in stack.places if one.home == "share"]
    assert len(folders) == len(set(folders))


def test_what_docker_names_for_one_stack_is_not_another_stacks():
    """Containers, volumes and networks begin with the project's name; names chosen for containers
    have another form, and no image is built under the same name."""
    rendered = {name: yaml.safe_load(render(name).compose) for name in STACKS}
    assert {name: content["name"] for name, content in rendered.items()} == {
        name: name for name in STACKS
    }
    images = []
    for content in rendered.values():
        services = content["services"].values()
        for name in [keys["container_name"] for keys in services if "container_name" in keys]:
            assert not any(name.startswith(f"{project}-") for project in STACKS)
        images += {keys["image"].partition(":")[0] for keys in services if "build" in keys}
        for kind in ("volumes", "networks"):
            named = [keys or {} for keys in (content.get(kind) or {}).values()]
            # The proxy's networks are those that stacks share.
            shared = {"proxy", "proxy-guarded"}
            assert {keys.get("name") for keys in named} <= {None, *shared}
    assert len(images) == len(set(images))


def joining(network: str) -> Stack:
    content = {
        "name": "joins",
        "services": {"llm": {"image": "x:1", "networks": ["other", "proxy"]}},
        "networks": {
            "other": {"name": network, "external": True},
            "proxy": {"name": "web", "external": True},
        },
    }
    return parse(yaml.safe_dump(content), "/opt/stacks/joins")


def test_a_network_that_a_stack_joins_must_exist_by_then():
    """Docker's, or that of a stack which is started earlier; the proxy's is checked elsewhere."""
    joins, other = joining("k-c_default"), stack()
    assert not [*network_findings([other, joins], "web", [])]
    assert not [*network_findings([joins], "web", ["k-c_default"])]
    (late,) = network_findings([joins, other], "web", ["bridge"])
    assert (late.ok, late.id) == (False, "network-missing")
    assert late.fix == "name k-c before joins in STACKS"
    (absent,) = network_findings([joins], "web", ["bridge"])
    assert "Docker does not have it" in absent.detail
    assert other_networks([joins], "web") == ["k-c_default"]
    assert other_networks([joins, other], "web") == []
