"""Ports of the host that services publish."""

from __future__ import annotations

import pytest

from workstation.compose.ports import Port, all_published, published
from workstation.stack import Service, parse


def service(entry: str) -> Service:
    return parse(f"name: s\nservices: {{web: {{image: a, ports: [{entry}]}}}}").services[0]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("'80:80'", [Port("*", 80)]),
        ("'0.0.0.0:80:80/tcp'", [Port("*", 80)]),
        ("'127.0.0.1:8080:80'", [Port("127.0.0.1", 8080)]),
        ("'[::1]:8080:80'", [Port("::1", 8080)]),
        ("'8000-8001:80-81'", [Port("*", 8000), Port("*", 8001)]),
        ("{published: 81, target: 80}", [Port("*", 81)]),
        ("{published: '82', target: 80, host_ip: 10.0.0.1}", [Port("10.0.0.1", 82)]),
        ("{published: 53, target: 53, protocol: udp}", []),
        ("'53:53/udp'", []),
        ("'80'", []),
        ("80", []),
        ("'127.0.0.1::80'", []),
        ("'${PORT}:80'", []),
        ("{target: 80}", []),
    ],
)
def test_published_ports_are_read_from_compose(entry: str, expected: list[Port]):
    """In short and long syntax; a port that Docker chooses is always free."""
    assert list(published(service(entry))) == expected


@pytest.mark.parametrize("entry", ["'53:53/udp'", "{published: 53, target: 53, protocol: udp}"])
def test_those_of_other_protocols_are_told_apart(entry: str):
    """A UDP port does not conflict with the same TCP port."""
    assert list(all_published(service(entry))) == [Port("*", 53, "udp")]
