"""The keys that an Engine's configuration may get, and how they take effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workstation.docker.daemon import DEFAULTS, content_of, fitted, loading, next_start, setting
from workstation.docker.daemon_json import DaemonJsonError
from workstation.facts.daemon import DaemonState, Running, StakeState
from workstation.operations.nvidia import IN_DAEMON_JSON

BARE = StakeState()
BUSY = StakeState((Running("c1", "plain"), Running("c2", "edge")))


def daemon(content: Any = None, **changes: Any) -> DaemonState:
    """Return an Engine that runs as docker.service and answers."""
    given = json.dumps(content).encode() if content is not None else None
    values: dict[str, Any] = {
        "pid": 17,
        "unit": "docker.service",
        "program": "/usr/sbin/dockerd",
        "arguments": ("-H", "fd://"),
        "next_arguments": ("-H", "fd://"),
        "loaded": "loaded",
        "client": True,
        "active": True,
        "answers": True,
        "data_root": "/var/lib/docker",
        "storage_driver": "overlay2",
        "kill_mode": "process",
        "invocation": "1" * 32,
    }
    return DaemonState(content=given, **{**values, **changes})


def merged(found: DaemonState, wanted: Any = None, defaults: Any = DEFAULTS) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(content_of(found, fitted(found, wanted or {}, defaults)))
    return result


def left_out(found: DaemonState, wanted: Any = None) -> list[str]:
    return [key for key, _ in fitted(found, wanted or {}, DEFAULTS).left_out]


# The keys it may get


def test_an_engine_started_as_usual_gets_all():
    """Whether or not it has a file, and even if it is not installed yet."""
    for found in (daemon(), daemon({}), DaemonState()):
        assert merged(found) == DEFAULTS
        assert left_out(found) == []


def test_a_node_of_a_swarm_gets_no_live_restore():
    """Docker would not start, and `dockerd --validate` does not notice; a value set by the user
    stays."""
    assert "live-restore" not in merged(daemon(swarm=True))
    ((key, reason),) = fitted(daemon(swarm=True), {}, DEFAULTS).left_out
    assert (key, reason) == (
        "live-restore",
        "this is a Swarm node, where Docker would not start with it",
    )
    assert left_out(daemon({"live-restore": False}, swarm=True)) == []


@pytest.mark.parametrize("at", ["arguments", "next_arguments"])
@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--log-driver=journald", {"live-restore": True}),
        ("--log-opt=max-size=1m", {"live-restore": True}),
        ("--live-restore", {"log-driver": "json-file", "log-opts": DEFAULTS["log-opts"]}),
        ("--live-restore=false", {"log-driver": "json-file", "log-opts": DEFAULTS["log-opts"]}),
    ],
)
def test_what_a_flag_gives_the_file_does_not(at: str, flag: str, expected: dict[str, Any]):
    """Flags of the running Engine or of its next start; options for one logging driver are not
    valid for another."""
    found = daemon(**{at: ("-H", "fd://", flag)})
    assert merged(found) == expected
    assert set(left_out(found)) == set(DEFAULTS) - set(expected)


def test_what_is_there_already_is_not_reported_as_left_out():
    """Docker would not start, but not because of us: its own check says so."""
    found = daemon(dict(DEFAULTS), next_arguments=("--log-driver=journald",))
    assert left_out(found) == []


def test_a_registry_that_a_flag_names_is_not_named_twice():
    """If no flag names it, the error shows the missing flag."""
    wanted = {"insecure-registries": ["192.168.0.5:80"]}
    flags = ("--insecure-registry", "192.168.0.5:80")
    assert "insecure-registries" not in merged(daemon(next_arguments=flags), wanted)
    with pytest.raises(DaemonJsonError, match=r"add `--insecure-registry=192\.168\.0\.5:80` to"):
        merged(daemon(next_arguments=("--insecure-registry=other",)), wanted)


def test_cdi_is_set_where_the_engine_does_not_have_it_by_itself():
    """It is on by default since 28.2."""
    assert merged(daemon(), IN_DAEMON_JSON, {}) == IN_DAEMON_JSON
    modern = daemon(cdi=("/etc/cdi", "/var/run/cdi"))
    assert merged(modern, IN_DAEMON_JSON, {}) == {"runtimes": IN_DAEMON_JSON["runtimes"]}
    ours = daemon({"features": {"cdi": True}}, cdi=("/etc/cdi",))
    assert merged(ours, IN_DAEMON_JSON, {})["features"] == {"cdi": True}
    theirs = daemon({"features": {"buildkit": True}})
    assert merged(theirs, IN_DAEMON_JSON, {})["features"] == {"buildkit": True, "cdi": True}


def test_cdi_that_somebody_switched_off_is_not_switched_on():
    """The user decides, and is told the consequences."""
    with pytest.raises(DaemonJsonError, match=r"features\.cdi is false in it.*GPU=none"):
        merged(daemon({"features": {"cdi": False}}), IN_DAEMON_JSON)
    with pytest.raises(DaemonJsonError, match="started with --feature"):
        merged(daemon(arguments=("--feature=containerd-snapshotter=true",)), IN_DAEMON_JSON)
    assert "features" not in merged(
        daemon(arguments=("--feature=x=true",), cdi=("/etc/cdi",)), IN_DAEMON_JSON
    )


def test_a_runtime_by_flag_keeps_ours_out():
    """Ours is for files that request it, and is optional."""
    found = daemon(arguments=("--add-runtime=nvidia=/opt/nvidia",))
    assert "runtimes" not in merged(found, IN_DAEMON_JSON)
    assert "runtimes" in left_out(found, IN_DAEMON_JSON)


# How they take effect


def load(found: DaemonState, stake: StakeState = BUSY, wanted: Any = None, new: Any = None) -> Any:
    """Return step and keys for loading the merged file, or ``new``."""
    fit = fitted(found, wanted or {}, DEFAULTS)
    content = json.dumps(new).encode() if new is not None else content_of(found, fit)
    return loading(found, content, fit.wanted, stake)


def test_what_a_reload_loads_needs_no_restart():
    """live-restore, registries and runtimes."""
    old = {key: DEFAULTS[key] for key in ("log-driver", "log-opts")}
    for new in (
        {**old, "live-restore": True},
        {**old, "insecure-registries": ["a"]},
        {**old, "runtimes": {"nvidia": {"path": "x"}}},
        {**old, "features": {"buildkit": True}},
    ):
        assert (load(daemon(old), new=new).step, load(daemon(old), new=new).keys) == ("reload", ())


def test_an_engine_that_a_reload_leaves_worse_is_restarted():
    """Version 28, whatever has changed; if containers would stop, the change waits."""
    new = {**DEFAULTS, "runtimes": {"nvidia": {"path": "x"}}}
    found = load(daemon(DEFAULTS, version="28.5.2"), new=new)
    assert (found.step, found.live, found.keys) == ("restart", True, ("runtimes",))
    assert load(daemon(DEFAULTS, version="27.5.1"), new=new).step == "reload"
    for version in ("28.0.0", "29.1.0", "104.0.0"):
        waits = load(daemon(DEFAULTS, version=version, kill_mode="mixed"), new=new)
        assert (waits.step, waits.reloads) == ("later", ())
    must = {"runtimes": {"nvidia": {"path": "x"}}}
    waits = load(daemon(DEFAULTS, version="28.0.0", kill_mode="mixed"), wanted=must)
    assert waits.step == "later"


def test_a_reload_that_was_cut_off_is_done_by_the_next_run():
    """The file is right already; keys that also need a restart are not forgotten."""
    found = load(daemon(DEFAULTS, unloaded=("runtimes",)))
    assert (found.step, found.keys, found.reloads) == ("reload", (), ("runtimes",))
    both = load(daemon(DEFAULTS, unloaded=("log-opts", "runtimes"), kill_mode="mixed"))
    assert (both.step, both.keys, both.reloads) == ("later", ("log-opts",), ("runtimes",))
    newer = load(daemon(DEFAULTS, unloaded=("runtimes",), version="28.0.0"))
    assert (newer.step, newer.keys) == ("restart", ("runtimes",))


def test_a_restart_comes_behind_live_restore():
    """With it, all containers keep running, whoever owns them."""
    found = load(daemon({}))
    assert (found.step, found.live, found.keys) == ("restart", True, ("log-driver", "log-opts"))
    assert load(daemon({}), BARE).step == "restart"


def test_nothing_changed_is_nothing_to_load():
    """The same is true if Docker is not installed yet."""
    assert load(daemon(dict(DEFAULTS))).step == ""
    assert load(DaemonState()).step == ""


def test_an_engine_that_does_not_run_is_started_with_what_was_changed():
    """If it does not start, it gets its old file back; a masked one is left alone."""
    stopped: dict[str, Any] = {"pid": 0, "answers": False, "active": False}
    assert load(daemon({}, **stopped)).step == "start"
    assert load(daemon(dict(DEFAULTS), **stopped)).step == ""
    assert load(daemon({}, loaded="masked", **stopped)).step == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"swarm": True},
        {"kill_mode": "control-group"},
        {"kill_mode": "mixed"},
        {"arguments": ("--live-restore=false",)},
    ],
)
def test_for_log_rotation_nobodys_containers_are_stopped(changes: dict[str, Any]):
    """If they would not survive a restart, it waits for Docker's next start."""
    found = load(daemon({}, **changes))
    assert (found.step, found.live) == ("later", False)
    assert found.harm == ("it would stop 2 containers",)
    assert load(daemon({}, **changes), BARE).step == "restart"


def test_live_restore_that_somebody_switched_off_is_respected():
    """It is neither turned on for a moment nor assumed to be on."""
    found = load(daemon({"live-restore": False}))
    assert (found.step, found.live) == ("later", False)


def test_live_restore_in_the_file_of_a_node_of_a_swarm_keeps_nothing_running():
    """Docker does not accept it there: a restart would stop containers, and the plan says so."""
    found = load(daemon({"live-restore": True}, swarm=True, answers=False))
    assert (found.step, found.live) == ("later", False)
    assert found.harm == ("it would stop 2 containers",)


def test_the_rest_is_reloaded_while_a_restart_waits():
    """This includes live-restore, for the restart that somebody will do later."""
    assert load(daemon({}, kill_mode="mixed")).reloads
    assert not load(daemon({}, swarm=True)).reloads


def test_for_cdi_docker_is_restarted_even_where_that_stops_containers():
    """Services that need the GPU do not start without it; the plan names the containers that
    stop."""
    found = load(daemon(dict(DEFAULTS, **{"live-restore": False})), wanted=IN_DAEMON_JSON)
    assert (found.step, found.live, found.keys) == ("restart", False, ("features",))


@pytest.mark.parametrize(
    "stake",
    [
        StakeState(clients=("docker run (process 9 of app.service)",)),
        StakeState(units=("app.service",)),
    ],
)
def test_what_a_restart_would_end_is_left_running(stake: StakeState):
    """live-restore keeps a container, but not the `docker run` that is attached to it, nor a unit
    that requires docker.service."""
    assert load(daemon({}), stake).step == "later"
    found = load(daemon(dict(DEFAULTS)), stake, IN_DAEMON_JSON)
    assert found.step == "by-hand"
    assert "app.service" in found.harm[0]


def test_a_run_that_was_cut_off_before_the_restart_is_finished():
    """Keys that the Engine has not read are on record; the file itself is right."""
    found = load(daemon(dict(DEFAULTS), unloaded=("log-opts",)))
    assert (found.step, found.keys) == ("restart", ("log-opts",))


def test_cdi_in_the_file_and_not_in_the_engine_is_loaded():
    """No matter how it got there."""
    content = {**DEFAULTS, **IN_DAEMON_JSON}
    assert load(daemon(content), wanted=IN_DAEMON_JSON).keys == ("features",)
    assert load(daemon(content, cdi=("/etc/cdi",)), wanted=IN_DAEMON_JSON).step == ""


# Changes that somebody made without restarting Docker


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        ({"data-root": "/srv/docker"}, {}, "/srv/docker"),
        (
            {},
            {"data_root": "/srv/docker"},
            "would look for its images and containers in /var/lib/docker",
        ),
        ({}, {"next_arguments": ("-g", "/srv/x")}, "/srv/x"),
        ({"storage-driver": "btrfs"}, {}, "from overlay2 to btrfs"),
        ({"features": {"containerd-snapshotter": True}}, {}, "containerd-snapshotter"),
        ({"features": {"containerd-snapshotter": False}}, {"snapshotter": True}, "another store"),
        ({"userns-remap": "default"}, {}, "userns-remap"),
        ({}, {"security": ("name=userns",)}, "userns-remap"),
        ({"live-restore": True}, {"swarm": True}, "would not start"),
        (
            {"mtu": 1400},
            {"next_arguments": ("--mtu=9",)},
            "would not start, with mtu both on its command",
        ),
    ],
)
def test_a_restart_that_would_lose_sight_of_containers_is_not_made(
    content: dict[str, Any], changes: dict[str, Any], expected: str
):
    """Log rotation waits, and a necessary restart is left to the user."""
    found = daemon(content, **changes)
    (harm,) = next_start(found)
    assert expected in harm
    assert load(found, BARE).step == "later"
    assert load(found, BARE, IN_DAEMON_JSON).step == "by-hand"


@pytest.mark.parametrize(
    "found",
    [
        daemon({}),
        daemon({"data-root": "/srv/d/"}, data_root="/srv/d"),
        daemon(
            {"userns-remap": "default"}, data_root="/var/lib/docker/1.1", security=("name=userns",)
        ),
        daemon({"features": {"containerd-snapshotter": True}}, snapshotter=True),
        daemon({}, snapshotter=True),
        daemon({"data-root": "/srv/x"}, answers=False),
        daemon({"runtimes": {"x": {}}}, next_arguments=("--add-runtime=y=/y",)),
    ],
)
def test_an_engine_that_runs_as_configured_may_be_restarted(found: DaemonState):
    """Docker 29 uses containerd's store by default; an Engine that does not answer is not
    judged."""
    assert list(next_start(found)) == []


def test_a_flag_wins_over_the_file():
    """Docker does not start with both; a key in neither has no value."""
    found = daemon(arguments=("--iptables=false",), next_arguments=())
    assert setting(found, {"iptables": True}, "iptables") is False
    assert setting(daemon(), {"bip": "10.0.0.1/8"}, "bip") == "10.0.0.1/8"
    assert setting(daemon(), {}, "bip") is None
