"""What Compose 2.40 takes and the Engine, or runc, refuses when a container is created or started:
in the middle of a run, when the old container is gone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.test_compose_together import judge
from tests.unit.wrong_outcomes import DEFAULTS, STACKS, assert_sentence, data
from workstation import settings, stack_settings
from workstation.errors import UserError
from workstation.stack import StackError
from workstation.stack_settings import STACKS as TEMPLATES


def limits(**found: str) -> dict[str, Any]:
    return {"deploy": {"resources": {"limits": found}}}


def device(**keys: Any) -> dict[str, Any]:
    found = {"capabilities": ["gpu"], **keys}
    return {"deploy": {"resources": {"reservations": {"devices": [found]}}}}


LEAST = "Docker needs at least 6mb"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mem_limit": "1k"}, f"`mem_limit` is '1k': {LEAST}"),
    ({"mem_limit": "5.9mb"}, LEAST),
    ({"mem_limit": 2**20}, LEAST),
    ({"mem_limit": "0.0001k"}, LEAST),
    ({"mem_reservation": "1m"}, f"`mem_reservation` is '1m': {LEAST}"),
    (limits(memory="5m"), f"`deploy.resources.limits.memory` is '5m': {LEAST}"),
    ({"mem_limit": "1g", "mem_reservation": "2g"}, "`mem_reservation` is more than `mem_limit`"),
    ({"mem_limit": "1g", "memswap_limit": "512m"}, "`memswap_limit` is less than `mem_limit`"),
    ({"memswap_limit": "1g"}, "`memswap_limit` needs a `mem_limit`"),
    ({"mem_limit": "999999999p"}, "expected a size with its unit"),
    ({"shm_size": "999999999tb"}, "expected a size with its unit"),
    ({"cpus": 0.001}, "`cpus` is 0.001: Docker needs at least 0.01"),
    (limits(cpus="0.001"), "`deploy.resources.limits.cpus` is '0.001'"),
    ({"cpu_period": 100}, "`cpu_period` is 100: expected a number from 1000 to 1000000"),
    ({"cpu_period": 2_000_000}, "`cpu_period` is 2000000"),
    ({"cpu_quota": 500}, "`cpu_quota` is 500: expected at least 1000"),
    ({"cpuset": "3-1"}, "`cpuset` has 3-1"),
    ({"blkio_config": {"weight": 5}}, "`blkio_config.weight` is 5"),
    ({"ulimits": {"nofile": {"soft": 100, "hard": 10}}}, "`ulimits.nofile` has a soft limit above"),
    ({"ulimits": {"nofile": {"soft": -1, "hard": 10}}}, "`ulimits.nofile` has a soft limit above"),
    ({"sysctls": {"vm.max_map_count": 262144}}, "vm.max_map_count is one of the whole machine"),
    ({"sysctls": ["nonsense=1"]}, "nonsense is one of the whole machine"),
    ({"sysctls": {"net.core.somaxconn": 1024}, "network_mode": "host"}, "net.core.somaxconn is"),
    ({"working_dir": "app"}, "`working_dir` is 'app': expected an absolute path"),
    ({"user": "a b"}, "`user` is 'a b': expected user or user:group"),
    ({"user": "-1"}, "`user` is '-1'"),
    ({"user": "1000:4294967296"}, "`user` is '1000:4294967296'"),
    (
        {"network_mode": "service:b", "ports": ["80:80"]},
        "`ports` cannot go with `network_mode: service:b`: move it to that service",
    ),
    ({"network_mode": "container:b", "hostname": "a"}, "`hostname` cannot go with"),
    ({"network_mode": "service:b", "extra_hosts": ["a:1.2.3.4"]}, "`extra_hosts` cannot go"),
    ({"scale": 2, "ports": ["8080:80"]}, "only one container can publish port 8080"),
    ({"deploy": {"replicas": 3}, "ports": [{"target": 80, "published": "81"}]}, "port 81"),
    ({"logging": {"driver": "json-file", "options": {"max-sice": "1m"}}}, "did you mean max-size?"),
    (
        {"logging": {"driver": "journald", "options": {"max-size": "1m"}}},
        "max-size` is not an option of journald",
    ),
    ({"logging": {"driver": "json-file", "options": {"max-size": "10x"}}}, "max-size` is '10x'"),
    ({"logging": {"driver": "local", "options": {"max-file": 0}}}, "max-file` is 0"),
    (device(driver="cdi", count="all"), "`cdi` needs `device_ids` such as nvidia.com/gpu=all"),
    (device(driver="cdi", device_ids=["all"]), "`cdi` needs `device_ids` such as"),
    ({"gpus": [{"driver": "cdi"}]}, "`cdi` needs `device_ids` such as"),
    ({"volumes": ["/a:/"]}, "a mount has the target '/': expected a folder below it"),
    ({"tmpfs": "/"}, "a mount has the target '/'"),
    ({"volumes": ["/a:/b", "/c:/b/"]}, "two mounts have the target /b"),
    ({"volumes": ["/a:/b", "/c:/x/../b"]}, "two mounts have the target /b"),
    ({"tmpfs": "/b/:size=1m", "volumes": ["/c:/b"]}, "two mounts have the target /b"),
    ({"volumes": [{"type": "bind", "target": "/b"}]}, "the mount at /b has no host folder"),
    ({"volumes": [{"type": "tmpfs", "target": "/b", "source": "x"}]}, "the tmpfs at /b has a"),
]


@pytest.mark.parametrize(("keys", "expected"), WRONG)
def test_what_the_engine_refuses_is_refused_before_anything_is_changed(
    keys: dict[str, Any], expected: str
):
    """With the Engine's limit."""
    with pytest.raises(StackError) as caught:
        judge({"a": keys, "b": {}})
    assert_sentence(str(caught.value))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"mem_limit": "6m"},
        {"mem_limit": 0},
        {"mem_limit": "0"},
        {"mem_limit": "1g", "memswap_limit": "1g", "mem_reservation": "1g"},
        {"mem_limit": "1g", "memswap_limit": -1},
        {"memswap_limit": -1},
        {"cpus": 0.01},
        {"cpus": "0"},
        {"cpu_period": 1000, "cpu_quota": -1},
        {"cpuset": "0-3,7"},
        {"ulimits": {"nofile": {"soft": 10, "hard": -1}, "memlock": -1, "core": 0}},
        {"sysctls": {"net.core.somaxconn": 1024, "kernel.shmmax": 1, "fs.mqueue.msg_max": 9}},
        {"working_dir": "/app"},
        {"working_dir": ""},
        {"user": "1000:1000"},
        {"user": "www-data"},
        {"user": ""},
        {"network_mode": "service:b"},
        {"network_mode": "host", "hostname": "a"},
        {"scale": 2, "ports": ["80", "8080-8083:80"]},
        {"scale": 1, "ports": ["8080:80"]},
        {"logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}},
        {"logging": {"driver": "journald", "options": {"tag": "x", "mode": "non-blocking"}}},
        {"logging": {"driver": "gelf", "options": {"gelf-address": "udp://x:1"}}},
        {"logging": {"driver": "none"}},
        {"blkio_config": {"weight": 10}},
        device(driver="cdi", device_ids=["nvidia.com/gpu=all"]),
        device(count="all"),
        {"volumes": ["/a:/b", "/c:/b/c"]},
    ],
)
def test_what_the_engine_takes_is_taken(keys: dict[str, Any]):
    """To the last value."""
    judge({"a": keys, "b": {}})


@pytest.mark.parametrize("value", ["1mb", "5.9m", "0.0001k"])
def test_a_limit_that_somebody_set_is_refused_where_it_was_set(value: str):
    """Not only in the Compose file that it goes into."""
    with pytest.raises(UserError, match=r"proxy_mem_limit is .*at least 6mb") as caught:
        settings.load({**DEFAULTS, "proxy_mem_limit": value}, STACKS)
    assert_sentence(str(caught.value))
    changed = {**data("dhoch3"), "limits": {"default": {"mem_limit": value}}}
    with pytest.raises(UserError, match=r"limits\.default\.mem_limit is .*at least 6mb") as caught:
        stack_settings.checked("dhoch3", changed, TEMPLATES)
    assert_sentence(str(caught.value))
