"""Rules in ufw's output, and which of them let containers in."""

from __future__ import annotations

import pytest

from workstation.firewall import BRIDGES, Rule, parse, shut, wanted


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("ufw allow 22", Rule("allow", port="22")),
        ("ufw allow 22/tcp", Rule("allow", port="22", protocol="tcp")),
        ("ufw limit OpenSSH", Rule("limit", port="OpenSSH")),
        ("ufw allow 'Apache Full'", Rule("allow", port="Apache Full")),
        ("ufw allow log 2222/tcp", Rule("allow", port="2222", protocol="tcp")),
        ("ufw deny in on docker0", Rule("deny", interface="docker0")),
        ("ufw allow 80,443/tcp", Rule("allow", port="80,443", protocol="tcp")),
        ("ufw allow from 10.0.0.0/8", Rule("allow", source="10.0.0.0/8")),
        (
            "ufw reject from 10.0.0.0/8 to any port 11000:12000 proto tcp comment 'a b'",
            Rule("reject", "", "10.0.0.0/8", "11000:12000", "tcp"),
        ),
        (
            "ufw allow in on br-+ to any port 11434 proto tcp",
            Rule("allow", "br-+", "", "11434", "tcp"),
        ),
        (
            "ufw allow from any port 99 to any port 80 proto tcp",
            Rule("allow", "", "99", "80", "tcp"),
        ),
        ("ufw allow from 1.2.3.4 to any app Samba", Rule("allow", "", "1.2.3.4", "Samba")),
        ("ufw deny out 25", None),
        ("ufw deny out on eth0 to any port 25", None),
        ("ufw route deny in on eth0 out on eth1", None),
        ("Added user rules (see 'ufw status' for running firewall):", None),
        ("ufw allow 'unbalanced", None),
        ("", None),
    ],
)
def test_a_line_of_ufw_is_read(line: str, rule: Rule | None):
    assert parse(line) == rule


PORT = 11434
OURS = [f"ufw {wanted(interface, PORT)}" for interface in BRIDGES]


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([], {"docker0": "", "br-+": ""}),
        (OURS, {}),
        (OURS[:1], {"br-+": ""}),
        (["ufw allow 22", *OURS], {}),
        # other people's rules are fine if they are wide enough
        (["ufw allow 11434"], {}),
        (["ufw allow 11434/tcp"], {}),
        (["ufw allow 11000:12000/tcp"], {}),
        (["ufw allow 80,11434/tcp"], {}),
        (["ufw allow in on docker0", "ufw allow in on br-+"], {}),
        (["ufw allow in on br-0123456789ab", "ufw allow in on docker0"], {"br-+": ""}),
        # otherwise they are not
        (["ufw allow 11435"], {"docker0": "", "br-+": ""}),
        (["ufw allow 11434/udp"], {"docker0": "", "br-+": ""}),
        (
            ["ufw allow from 172.16.0.0/12 to any port 11434 proto tcp"],
            {"docker0": "", "br-+": ""},
        ),
        (["ufw allow in on eth0"], {"docker0": "", "br-+": ""}),
        # the first match decides
        (["ufw deny 11434", *OURS], dict.fromkeys(BRIDGES, "deny 11434")),
        ([*OURS, "ufw deny 11434"], {}),
        (["ufw limit 11434/tcp", *OURS], dict.fromkeys(BRIDGES, "limit 11434/tcp")),
        (["ufw deny in on docker0", *OURS], {"docker0": "deny in on docker0"}),
        (
            ["ufw reject in on br-0123456789ab", *OURS],
            {"br-+": "reject in on br-0123456789ab"},
        ),
        (
            ["ufw deny from 192.168.0.0/16", *OURS],
            dict.fromkeys(BRIDGES, "deny from 192.168.0.0/16"),
        ),
        (["ufw deny 22", "ufw limit OpenSSH", "ufw deny out 25", *OURS], {}),
        (["ufw deny Ollama", *OURS], dict.fromkeys(BRIDGES, "deny Ollama")),
        (["ufw route deny in on docker0", *OURS], {}),
    ],
)
def test_who_is_shut_out(rules: list[str], missing: dict[str, str]):
    """And by which rule; of two, the earlier one counts."""
    assert dict(shut(rules, BRIDGES, PORT)) == missing


def test_a_bridge_of_another_name_is_asked_for_by_its_own():
    """Docker uses the name that somebody chose."""
    assert dict(shut(OURS, (*BRIDGES, "mine0"), PORT)) == {"mine0": ""}
