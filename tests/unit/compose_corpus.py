"""Generated Compose files: one with every key of Compose 2.40, and thousands that differ from it in
one value.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "recorded/compose-2.40/verdicts.txt"

_DEVICES = [
    {
        "driver": "cdi",
        "device_ids": ["nvidia.com/gpu=all"],
        "capabilities": ["gpu"],
        "options": {"a": "b"},
    }
]
_HOOK = {
    "command": ["true"],
    "user": "root",
    "privileged": False,
    "working_dir": "/",
    "environment": {"A": "b"},
}
_UPDATE = {
    "parallelism": 1,
    "delay": "1s",
    "failure_action": "pause",
    "monitor": "1s",
    "max_failure_ratio": 0.5,
    "order": "stop-first",
}
_FILE_IN = {"source": "s", "target": "/s", "uid": "1", "gid": "1", "mode": 0o440}
_JOINED = {
    "aliases": ["w"],
    "interface_name": "eth5",
    "ipv4_address": "172.30.0.5",
    "ipv6_address": "fd00::5",
    "link_local_ips": ["169.254.1.1"],
    "mac_address": "02:42:ac:11:65:43",
    "driver_opts": {"a": "b"},
    "priority": 1,
    "gw_priority": 1,
}
_LIMITS = {
    "blkio_config": {
        "weight": 300,
        "weight_device": [{"path": "/dev/sda", "weight": 300}],
        **{
            f"device_{what}": [{"path": "/dev/sda", "rate": "12mb"}]
            for what in ("read_bps", "read_iops", "write_bps", "write_iops")
        },
    },
    "cpu_count": 1,
    "cpu_percent": 50,
    "cpu_period": 1000,
    "cpu_quota": 1000,
    "cpu_rt_period": 1000,
    "cpu_rt_runtime": 1000,
    "cpu_shares": 512,
    "cpus": 1.5,
    "cpuset": "0-1",
    "mem_limit": "1gb",
    "mem_reservation": "1gb",
    "mem_swappiness": 60,
    "memswap_limit": "2gb",
    "oom_kill_disable": False,
    "oom_score_adj": 100,
    "pids_limit": 100,
    "shm_size": "64mb",
    "ulimits": {"nproc": 65535, "nofile": {"soft": 65536, "hard": 65536}},
}
EVERYTHING: dict[str, Any] = {
    "name": "made-up",
    "version": "3",
    "services": {
        "web": {
            "image": "docker.io/library/nginx:1",
            "command": ["a", "b"],
            "entrypoint": "a 'b'",
            "container_name": "web1",
            "hostname": "web",
            "domainname": "example",
            "user": "1:1",
            "working_dir": "/w",
            "platform": "linux/amd64",
            "restart": "unless-stopped",
            "pull_policy": "missing",
            "attach": True,
            "init": True,
            "privileged": False,
            "read_only": True,
            "stdin_open": False,
            "tty": False,
            "stop_signal": "SIGTERM",
            "stop_grace_period": "1m30s",
            "environment": {"A": "b", "B": 1},
            "env_file": [{"path": "./web.env", "required": False, "format": "raw"}],
            "labels": {"a.b": "c", "d": True},
            "annotations": {"a": "b"},
            "volumes": [
                "/srv/a:/a:ro",
                {
                    "type": "bind",
                    "source": "/srv/b",
                    "target": "/b",
                    "read_only": True,
                    "consistency": "cached",
                    "bind": {
                        "propagation": "rslave",
                        "create_host_path": False,
                        "recursive": "enabled",
                        "selinux": "z",
                    },
                },
                {
                    "type": "volume",
                    "source": "data",
                    "target": "/v",
                    "volume": {"nocopy": True, "subpath": "x", "labels": {"a": "b"}},
                },
                {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "64mb", "mode": 0o755}},
                {
                    "type": "image",
                    "source": "docker.io/a/b:1",
                    "target": "/i",
                    "image": {"subpath": "x"},
                },
            ],
            "volumes_from": ["db:ro"],
            "tmpfs": ["/run:size=10m,mode=755", "/tmp"],
            "secrets": ["s", _FILE_IN],
            "configs": [{**_FILE_IN, "source": "c"}],
            "devices": [
                "/dev/kvm:/dev/kvm:rwm",
                {"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rw"},
            ],
            "gpus": [{"capabilities": ["gpu"], "count": 1, "driver": "nvidia"}],
            "models": {"llm": {"endpoint_var": "A", "model_var": "B"}},
            "storage_opt": {"size": "1G"},
            "logging": {"driver": "local", "options": {"max-size": "10m"}},
            "networks": {"default": _JOINED, "proxy": None},
            "ports": [
                "127.0.0.1:80:80",
                {
                    "name": "x",
                    "mode": "host",
                    "host_ip": "127.0.0.1",
                    "target": 81,
                    "published": "8081",
                    "protocol": "tcp",
                    "app_protocol": "http",
                },
            ],
            "expose": [8080, "9000-9001/tcp"],
            "links": ["db:database"],
            "external_links": ["x:y"],
            "dns": ["1.1.1.1"],
            "dns_opt": ["use-vc"],
            "dns_search": "example",
            "extra_hosts": ["host.docker.internal:host-gateway", "nas=192.168.0.6"],
            "mac_address": "02:42:ac:11:65:43",
            "depends_on": {
                "db": {"condition": "service_healthy", "restart": True, "required": True}
            },
            "healthcheck": {
                "test": ["CMD", "true"],
                "interval": "1m",
                "timeout": "10s",
                "retries": 3,
                "start_period": "5m",
                "start_interval": "5s",
                "disable": False,
            },
            "post_start": [_HOOK],
            "pre_stop": [_HOOK],
            "deploy": {
                "mode": "replicated",
                "endpoint_mode": "vip",
                "replicas": 1,
                "labels": {"a": "b"},
                "update_config": _UPDATE,
                "rollback_config": _UPDATE,
                "resources": {
                    "limits": {"cpus": "1.5", "memory": "2gb", "pids": 100},
                    "reservations": {
                        "cpus": "0.5",
                        "memory": "1gb",
                        "devices": _DEVICES,
                        "generic_resources": [
                            {"discrete_resource_spec": {"kind": "gpu", "value": 1}}
                        ],
                    },
                },
                "restart_policy": {
                    "condition": "any",
                    "delay": "1s",
                    "max_attempts": 3,
                    "window": "1m",
                },
                "placement": {
                    "constraints": ["a==b"],
                    "preferences": [{"spread": "a"}],
                    "max_replicas_per_node": 1,
                },
            },
            "develop": {
                "watch": [
                    {
                        "path": "./a",
                        "action": "sync+exec",
                        "target": "/a",
                        "ignore": ["b"],
                        "include": "c",
                        "exec": _HOOK,
                        "initial_sync": True,
                    }
                ]
            },
            "cap_add": ["NET_ADMIN"],
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "group_add": ["video", 44],
            "device_cgroup_rules": ["c 195:* rwm"],
            "sysctls": {"net.core.somaxconn": 1024},
            "isolation": "default",
            "runtime": "runc",
            "userns_mode": "host",
            "uts": "host",
            "cgroup": "private",
            "cgroup_parent": "x",
            "ipc": "shareable",
            "pid": "host",
        },
        "db": {
            "image": "docker.io/library/redis:7",
            "network_mode": "none",
            "profiles": [],
            "use_api_socket": False,
            "scale": 1,
            "credential_spec": {"file": "x"},
            **_LIMITS,
        },
        "provided": {
            "image": "docker.io/a/b:1",
            "provider": {"type": "x", "options": {"a": "b"}},
        },
    },
    "networks": {
        "default": {
            "driver": "bridge",
            "driver_opts": {"a": "b"},
            "ipam": {
                "driver": "default",
                "config": [
                    {
                        "subnet": "172.30.0.0/16",
                        "ip_range": "172.30.5.0/24",
                        "gateway": "172.30.0.1",
                        "aux_addresses": {"a": "172.30.0.2"},
                    }
                ],
                "options": {"a": "b"},
            },
            "internal": False,
            "enable_ipv4": True,
            "enable_ipv6": True,
            "attachable": False,
            "labels": {"a": "b"},
        },
        "proxy": {"name": "proxy", "external": True},
    },
    "volumes": {
        "data": {"name": "d", "driver": "local", "driver_opts": {"a": "b"}, "labels": ["a=b"]},
        "theirs": {"external": True},
    },
    "secrets": {"s": {"file": "./secrets/s", "labels": {"a": "b"}}},
    "configs": {"c": {"content": "x", "labels": {"a": "b"}}},
    "models": {
        "llm": {"name": "m", "model": "ai/x", "context_size": 1024, "runtime_flags": ["--a"]}
    },
}

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2.5, "", "x", "x y", "true", "yes", "yess", "-1", "3", "10m"),
    *([], ["x"], [1], [["x"]], {}, {"x": "y"}, {"x": ["y"]}, [{"x": "y"}], [None]),
)
"""Values that are put in the place of each one."""

WORDS: dict[str, tuple[Any, ...]] = {
    "services.web.restart": ("alway", "on-failure:3", "on-failure:x", "no", False, "always:3"),
    "services.web.pull_policy": ("alwyas", "never", "every_12h", "every_x", "never ever", "daily"),
    "services.web.cap_add": (["SYS_ADMN"], ["sys_admin"], ["CAP_SYS_ADMIN"], "ALL"),
    "services.web.volumes.0": (
        *("/a:/a:or", "/a:/a:ro:rw", ":/a", "/a:", "/a:/a:", "/a:/a:z,ro", "/a:/a:rslave", "data"),
        *("/a:/a:ro,rw", "/a:a", "/a:/a:nocopy", "/a:/a:rox", "/a:/a:RO", "nodata:/a"),
    ),
    "services.web.volumes.1.type": ("bnd", "tmpfs", "volume"),
    "services.web.volumes.1.bind.propagation": ("slave", "rslav"),
    "services.web.volumes.3.tmpfs.mode": ("0755", "755", 0o7777, 99999),
    "services.web.stop_grace_period": (
        *("90", 90, "90s", "1d", "1w", "1D", "-1s", "1 m", "1m 30s", "soon", "1.5h", "0", "5ns"),
    ),
    "services.web.healthcheck.interval": ("1m30", "1m30s", "1M", 5, "5µs", "200ms"),
    "services.web.healthcheck.test": (
        *("true", ["true"], ["CMD"], ["NONE"], [], ["CMD-SHELL", "a"], ["CMD-SHELL", "a", "b"]),
    ),
    "services.web.healthcheck.retries": ("abc", "3", 2.5),
    "services.web.depends_on": (
        *(["db"], ["web"], ["nope"], {"db": {"condition": "healthy"}}, {"db": {}}, {"db": None}),
    ),
    "services.web.command": (5, 'a "b', "a 'b'", "", "a\\"),
    "services.web.environment": ([["a"]], ["A=b", "C"], ["=b"], {"": "x"}, {"A": None}, [""]),
    "services.web.labels": ([["a"]], ["a=b", "c"], {"a": None}, {"a": 1.5}),
    "services.web.extra_hosts": (["a"], ["a:b"], {"a": "1.2.3.4"}, {"a": ["::1"]}, ["a:::1"]),
    "services.web.ports": (
        *(
            ["80:80:80:80"],
            ["x:80"],
            ["80/x"],
            ["80-81:80-82"],
            [80],
            ["80:80/udp"],
            ["[::1]:80:80"],
        ),
    ),
    "services.web.deploy.resources.reservations.devices.0": (
        {"capabilities": ["gpu"], "count": "all"},
        {"capabilities": ["gpu"], "count": "x"},
        {"capabilities": ["gpu"], "count": 1, "device_ids": ["0"]},
        {"capabilities": "gpu"},
        {"capabilities": ["gup"]},
        {"driver": "x"},
    ),
    "services.web.gpus": ("all", "al", [{"count": "all"}], 1),
    "services.web.platform": ("linux", "linux/arm64/v8", "a/b/c/d"),
    "services.web.cgroup": ("host", "hots"),
    "services.web.tmpfs": ("/a", ["/a:foo"], ["a"], ["/a:size=1g,noexec"]),
    "services.web.security_opt": (["no-new-privilegs:true"], ["seccomp=unconfined"]),
    "services.web.stop_signal": ("SIGTERN", "9", 9, "sigusr1"),
    "services.db.network_mode": (
        *("host", "hots", "bridge", "service:web", "service:db", "service:nope", "container:x"),
    ),
    "services.db.mem_limit": ("lots", "1.5g", "1 gb", "8GB", "1x", "1bb", "1e3", 8, "8", "512k"),
    "services.db.memswap_limit": (-1, "lots"),
    "services.db.cpus": ("1.5", "1,5", "0"),
    "services.db.ulimits": (
        *({"nofile": {"sfot": 1, "hard": 2}}, {"nofile": {"soft": 1}}, {"nofiles": 1}),
        *({"nofile": "x"}, {"nofile": -1}, {"nofile": "5"}),
    ),
    "services.db.oom_score_adj": (1000, 1001, "5000"),
    "networks.default.ipam.config.0.subnet": ("172.30.0.0", "172.30.0.0/99"),
    "networks.proxy.external": ("true", {"name": "x"}),
    "volumes.theirs": ({"external": True, "driver": "local"}, None),
    "configs.c": ({}, {"file": "./x"}, {"file": "./x", "content": "y"}),
}
"""Values of one place, mostly nearly right."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to every value inside a value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(path: tuple[Any, ...], value: Any, key: str = "") -> dict[str, Any]:
    """The file with one value replaced, or moved to another ``key``."""
    made = copy.deepcopy(EVERYTHING)
    inner: Any = made
    for part in path[:-1]:
        inner = inner[int(part)] if isinstance(inner, list) else inner[part]
    last = int(path[-1]) if isinstance(inner, list) else path[-1]
    if key:
        inner[key] = inner.pop(last)
    else:
        inner[last] = copy.deepcopy(value)
    return made


_ANY_NAMES = (
    *("services", "networks", "volumes", "secrets", "configs", "models", "environment", "labels"),
    *(
        "options",
        "driver_opts",
        "annotations",
        "sysctls",
        "storage_opt",
        "aux_addresses",
        "ulimits",
    ),
    *("depends_on",),
)


def cases() -> Iterator[tuple[str, tuple[Any, ...], Any, str]]:
    """Every case: its line in the record, the path to a value, and the new value or the new key."""
    for path in places(EVERYTHING):
        if not path or path == ("name",):
            continue
        dotted = ".".join(map(str, path))
        for value in (*ODD, *WORDS.get(dotted, ())):
            yield dotted, path, value, ""
        key = path[-1]
        if isinstance(key, str) and len(key) > 3 and (len(path) == 1 or path[-2] not in _ANY_NAMES):
            yield f"{dotted}~", path, None, f"{key[:2]}{key[3:]}"
            yield f"{dotted}~", path, None, f"{key}s"


def record() -> dict[str, str]:
    """Compose's verdicts: line -> a letter for each of its cases, ``y`` for accepted."""
    return dict(line.split("\t") for line in RECORDED.read_text().splitlines() if "\t" in line)
