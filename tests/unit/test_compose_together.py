"""Contradictions in a Compose file; Compose 2.40 rejects each of them, except for those about
routers, and about profiles only when one is used."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wrong_outcomes import assert_sentence, dump
from workstation.compose import rules as compose_rules
from workstation.stack import StackError, parse


def judge(services: dict[str, dict[str, Any]], **top: Any) -> None:
    whole = {name: {"image": "docker.io/a/b:1", **keys} for name, keys in services.items()}
    text = dump({"name": "made-up", "services": whole, **top})
    compose_rules.check(
        parse(text, "/opt/stacks/made-up", "compose.yaml.j2", {}), "compose.yaml.j2"
    )


def route(host: str, enable: str = "true") -> dict[str, Any]:
    return {"labels": {"traefik.enable": enable, "traefik.http.routers.x.rule": f"Host(`{host}`)"}}


DEVICE = {"capabilities": ["gpu"], "count": 1, "device_ids": ["0"]}
WRONG: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "two networks": ({"a": {"network_mode": "host", "networks": ["default"]}}, "both"),
    "two numbers": ({"a": {"scale": 2, "deploy": {"replicas": 3}}}, "both `scale` and"),
    "two memories": (
        {"a": {"mem_limit": "1g", "deploy": {"resources": {"limits": {"memory": "2g"}}}}},
        "both `mem_limit` and",
    ),
    "two names": (
        {"a": {"container_name": "cc"}, "b": {"container_name": "cc"}},
        "cc is used by both",
    ),
    "a name for two": ({"a": {"container_name": "cc", "scale": 2}}, "but there would be 2"),
    "count and ids": (
        {"a": {"deploy": {"resources": {"reservations": {"devices": [DEVICE]}}}}},
        "both `count` and `device_ids`",
    ),
    "itself": ({"a": {"depends_on": ["a"]}}, "depend on each other: a -> a"),
    "a circle": (
        {"a": {"depends_on": ["b"]}, "b": {"links": ["c"]}, "c": {"network_mode": "service:a"}},
        "depend on each other: a -> b -> c -> a",
    ),
    "a link to nothing": ({"a": {"links": ["bb"]}, "b": {}}, "`links` names bb, which is not in"),
    "volumes of nothing": ({"a": {"volumes_from": ["bb:ro"]}, "b": {}}, "`volumes_from` names bb"),
    "a network of nothing": ({"a": {"network_mode": "service:bb"}, "b": {}}, "names bb"),
    "what does not run": (
        {"a": {"depends_on": ["b"]}, "b": {"profiles": ["build"]}},
        "`depends_on` names b, which does not run",
    ),
    "a profile that the other lacks": (
        {
            "a": {"profiles": ["x", "y"], "depends_on": ["b"]},
            "b": {"profiles": ["x", "build"]},
        },
        "names b, which lacks its profile y, so `docker compose --profile y` would fail",
    ),
    "tmpfs and a mount": ({"a": {"tmpfs": "/a", "volumes": ["/b:/a"]}}, "two mounts"),
    "one router twice": ({"a": route("a.de"), "b": route("b.de")}, "give one router another name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_refused(case: str):
    """Each part alone would be valid."""
    services, expected = WRONG[case]
    with pytest.raises(StackError) as caught:
        judge(services)
    assert_sentence(str(caught.value))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "services",
    [
        {"a": {"depends_on": ["b"], "links": ["b:x"]}, "b": {}},
        {"a": {"depends_on": ["b", "c"]}, "b": {"depends_on": ["c"]}, "c": {}},
        {
            "a": {"depends_on": {"b": {"condition": "service_started", "required": False}}},
            "b": {"profiles": ["x"]},
        },
        {"a": {"profiles": ["x"], "depends_on": ["b"]}, "b": {"profiles": ["y", "x"]}},
        {"a": {"profiles": ["x"], "depends_on": ["b"]}, "b": {}},
        {"a": {"profiles": ["build"], "depends_on": ["b"]}, "b": {"profiles": ["x"]}},
        {"a": {"volumes_from": ["container:x"], "network_mode": "container:y"}},
        {"a": route("a.de"), "b": route("b.de", "false")},
        {"a": {"deploy": {"replicas": 2}}},
    ],
)
def test_what_goes_together_is_taken(services: dict[str, dict[str, Any]]):
    """Compose accepts it too."""
    judge(services)


def test_a_config_has_one_source_and_an_external_volume_nothing_of_its_own():
    """Compose rejects both."""
    for config in ({}, {"file": "./a", "content": "b"}):
        with pytest.raises(StackError, match=r"configs\.c needs exactly one of"):
            judge({"a": {}}, configs={"c": config})
    with pytest.raises(StackError, match=r"volumes\.v is external, but has driver"):
        judge({"a": {}}, volumes={"v": {"external": True, "driver": "local"}})
