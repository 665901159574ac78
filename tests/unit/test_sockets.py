"""Lines of ``ss``, in the forms that its two callers use."""

from __future__ import annotations

import pytest

from workstation.sockets import Socket, parse, unit_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("LISTEN 0 128 [::]:22 [::]:*", Socket("*", 22)),
        (
            'LISTEN 0 511 *:80 *:* users:(("nginx",pid=7,fd=4))',
            Socket("*", 80, program="nginx", pid="7"),
        ),
        (
            'tcp LISTEN 0 50 [::ffff:127.0.0.1]:8080 *:* users:(("my app",pid=77,fd=9))',
            Socket("127.0.0.1", 8080, program="my app", pid="77"),
        ),
        ("udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*", Socket("127.0.0.53", 53, "udp", "lo")),
        ("tcp LISTEN 0 9 [fe80::1]%eth0:5 [::]:*", Socket("fe80::1", 5, interface="eth0")),
    ],
)
def test_a_line_of_ss_is_a_socket(line: str, expected: Socket):
    """With a protocol in front, if ss was asked for several."""
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ("/system.slice/ssh.service", "ssh.service"),
        ("/system.slice/docker-ab.scope/inner.service", "docker-ab.scope"),
        ("/user.slice/user-1000.slice", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process_is_the_first_of_its_group(group: str, unit: str):
    assert unit_of(group) == unit
