"""The command line of dockerd: which keys of daemon.json it sets."""

from __future__ import annotations

import pytest

from workstation.docker.daemon_flags import keys, options, started_by, values


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""),
        ("--log-driver=journald", "log-driver=journald"),
        ("--log-driver journald", "log-driver=journald"),
        ("-H fd:// -Hunix:///x -H=tcp://y", "host=fd:// host=unix:///x host=tcp://y"),
        ("-D --live-restore -l warn", "debug=true live-restore=true log-level=warn"),
        ("--live-restore=false --iptables=false", "live-restore=false iptables=false"),
        ("--label= --mtu", "label= mtu=true"),
        ("-g /srv/docker", "data-root=/srv/docker"),
        ("--log-opt tag=a=b", "log-opt=tag=a=b"),
        ("stray - --icc=false", "icc=false"),
    ],
)
def test_options_are_read_in_every_form(arguments: str, expected: str):
    """In the forms that pflag accepts."""
    found = options(arguments.split())
    assert " ".join(f"{name}={value}" for name, value in found) == expected


def test_an_option_counts_under_the_name_that_the_file_has_for_it():
    """dockerd compares them by that name."""
    arguments = ["--insecure-registry", "a:5000", "--insecure-registry=b", "--add-runtime=x=/x"]
    assert values(arguments, "insecure-registries") == ["a:5000", "b"]
    assert keys([*arguments, "-H", "fd://"]) == {"insecure-registries", "runtimes", "hosts"}
    assert values(["--graph=/a"], "data-root") == ["/a"]


def test_a_units_variables_are_put_in_place():
    """$NAME is split on spaces, ${NAME} is one word, and a doubled dollar is not a variable."""
    command = "/usr/sbin/dockerd -H fd:// $DOCKER_OPTS --label=${WHO} --label=a$$b $NOTHING"
    environment = {"DOCKER_OPTS": '--debug "--mtu=1400"', "WHO": "Anna B"}
    assert started_by(command, environment) == (
        *("/usr/sbin/dockerd", "-H", "fd://", "--debug", "--mtu=1400", "--label=Anna B"),
        "--label=a$b",
    )
    assert started_by("", {}) == ()
