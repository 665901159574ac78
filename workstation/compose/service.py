"""The schema of a service in a Compose file, at every depth; ``schema`` names its sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workstation.compose.deploy import DEPLOY, DEVICES
from workstation.compose.forms import (
    ANYTHING,
    FLAG,
    NAME,
    PLAIN,
    TEXT,
    Form,
    Path,
    Problem,
    checked,
    either,
    keys,
    like,
    listed,
    named_by,
    one_of,
    optional,
    pattern,
    real,
    scalar,
    size,
    whole,
    words,
)
from workstation.compose.values import (
    ADDRESS,
    COMMAND,
    DURATION,
    EXPOSED,
    HEALTH,
    IDENTIFIER,
    JOINED_TO,
    LINES,
    LOG_DRIVERS,
    MAC,
    NUMBER,
    NUMBERS,
    PAIRS,
    PRIVILEGE,
    REPLICAS,
    SECURITY,
    SIGNAL,
    SIZE,
    TEXTS,
    ULIMITS,
    VARIABLES,
    extra_host,
    reached,
)
from workstation.compose.volumes import (
    MOUNT,
    TMPFS,
)
from workstation.compose.x_workstation import OWN_SERVICE
from workstation.traefik import labels as traefik_labels

_LIMIT = either(whole(-1), keys({"soft": whole(-1), "hard": whole(-1)}, required=("soft", "hard")))
_ULIMIT = named_by(one_of(*ULIMITS), _LIMIT, "a mapping of limits to numbers")
_HOOK = keys(
    {
        "command": COMMAND,
        "user": TEXT,
        "privileged": FLAG,
        "working_dir": TEXT,
        "environment": VARIABLES,
    },
    required=("command",),
)
_DEVELOP = keys(
    {
        "watch": listed(
            keys(
                {
                    "path": NAME,
                    "action": one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
                    "target": NAME,
                    "ignore": LINES,
                    "include": LINES,
                    "exec": _HOOK,
                    "initial_sync": scalar("true or false", lambda value: type(value) is bool),
                },
                required=("path", "action"),
            )
        )
    }
)
_FILE_IN = listed(
    either(
        NAME,
        keys(
            {
                "source": NAME,
                "target": TEXT,
                "uid": TEXT,
                "gid": TEXT,
                "mode": either(
                    pattern("[0-7]{1,4}", "a mode such as 0440"), whole(0, 0o7777, text=False)
                ),
            },
            required=("source",),
        ),
    )
)
_JOINED = optional(
    keys(
        {
            "aliases": TEXTS,
            "interface_name": TEXT,
            "ipv4_address": ADDRESS,
            "ipv6_address": ADDRESS,
            "link_local_ips": listed(ADDRESS),
            "mac_address": MAC,
            "driver_opts": NUMBERS,
            "priority": NUMBER,
            "gw_priority": NUMBER,
        }
    )
)
_PORT_NUMBER = either(TEXT, whole(text=False))
_PORT = either(
    scalar("HOST:CONTAINER", lambda value: type(value) is int or isinstance(value, str)),
    keys(
        {
            "name": TEXT,
            "mode": one_of("host", "ingress"),
            "host_ip": TEXT,
            "target": _PORT_NUMBER,
            "published": _PORT_NUMBER,
            "protocol": TEXT,
            "app_protocol": TEXT,
        },
        required=("target",),
    ),
)
_DEVICE = either(
    pattern(
        r"/[^:\0]*(:/[^:\0]*)?(:[rwm]{1,3})?|[\w.-]+/[\w.-]+=[\w.:-]+",
        "/dev/NAME, /dev/NAME:/dev/NAME:rwm or vendor.com/class=name",
    ),
    keys(
        {"source": NAME, "target": TEXT, "permissions": pattern("[rwm]{1,3}", "rwm or less")},
        required=("source",),
    ),
)
_BLOCK_RATE = listed(keys({"path": NAME, "rate": either(whole(0), checked(size))}))
_WEIGHT = whole(0, 1000, text=False)
_BLOCKS = keys(
    {
        **{
            f"device_{what}": _BLOCK_RATE
            for what in ("read_bps", "read_iops", "write_bps", "write_iops")
        },
        "weight": _WEIGHT,
        "weight_device": listed(keys({"path": NAME, "weight": _WEIGHT})),
    }
)
_BUILD = keys(
    dict.fromkeys(
        words(
            """
        dockerfile dockerfile_inline entitlements args ssh labels cache_from cache_to no_cache
        additional_contexts network provenance sbom pull target shm_size extra_hosts isolation
        privileged secrets tags ulimits platforms
        """
        ),
        ANYTHING,
    )
    | {"context": TEXT}
)
_MEMORY_OR_NONE = checked(lambda value: "" if value == -1 and value is not True else size(value))
_PROCESSOR_TIME = whole(0, 2**31 - 1)


def _labels(value: Any, path: Path) -> Iterator[Problem]:
    wrong = list(PAIRS.problems(value, path))
    yield from wrong
    for label, problem in () if wrong else traefik_labels.problems(value):
        yield (*path, label), problem


SERVICE = keys(
    {
        "image": NAME,
        "build": either(TEXT, _BUILD),
        "command": COMMAND,
        "entrypoint": COMMAND,
        "container_name": pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]+", "two or more letters or digits"),
        "hostname": TEXT,
        "domainname": TEXT,
        "user": TEXT,
        "working_dir": TEXT,
        "platform": pattern(r"[a-z0-9_.-]+(/[a-z0-9_.-]+){0,2}", "a platform such as linux/amd64"),
        "profiles": TEXTS,
        "scale": REPLICAS,
        "restart": one_of(
            *("no", "always", "on-failure", "unless-stopped"),
            expected="unless-stopped, always, on-failure or no (in quotes)",
            also=r"on-failure:[0-9]{1,9}",
        ),
        "pull_policy": one_of(
            *(
                "always",
                "never",
                "missing",
                "if_not_present",
                "build",
                "refresh",
                "daily",
                "weekly",
            ),
            also=r"every_([0-9]+[wdhms])+",
        ),
        "pull_refresh_after": TEXT,
        "attach": FLAG,
        "init": FLAG,
        "privileged": FLAG,
        "read_only": FLAG,
        "stdin_open": FLAG,
        "tty": FLAG,
        "use_api_socket": scalar("true or false", lambda value: type(value) is bool),
        "stop_signal": SIGNAL,
        "stop_grace_period": DURATION,
        # Its data and devices
        "environment": VARIABLES,
        "env_file": either(
            NAME,
            listed(
                either(
                    NAME,
                    keys(
                        {"path": NAME, "required": FLAG, "format": one_of("raw")},
                        required=("path",),
                    ),
                )
            ),
        ),
        "labels": Form("labels", dict, _labels),
        "label_file": LINES,
        "annotations": PAIRS,
        "volumes": listed(MOUNT),
        "volumes_from": TEXTS,
        "tmpfs": either(TMPFS, listed(TMPFS)),
        "secrets": _FILE_IN,
        "configs": _FILE_IN,
        "devices": listed(_DEVICE),
        "gpus": either(one_of("all"), listed(keys(DEVICES))),
        "models": either(
            TEXTS,
            named_by(IDENTIFIER, optional(keys({"endpoint_var": TEXT, "model_var": TEXT}))),
        ),
        "storage_opt": named_by(NAME, either(TEXT, whole(text=False))),
        "logging": keys(
            {
                "driver": like(*LOG_DRIVERS, expected="a log driver, such as json-file"),
                "options": named_by(
                    NAME,
                    scalar(
                        "text or a number",
                        lambda value: (
                            value is None
                            or (
                                isinstance(value, str | int | float) and not isinstance(value, bool)
                            )
                        ),
                    ),
                ),
            }
        ),
        # Its network
        "network_mode": one_of(
            *("none", "host", "bridge", "default"),
            expected="none, host, bridge, service:NAME or container:NAME; a network goes in "
            "`networks`",
            also=JOINED_TO,
        ),
        "networks": either(TEXTS, named_by(IDENTIFIER, _JOINED)),
        "ports": listed(_PORT),
        "expose": listed(EXPOSED),
        "links": TEXTS,
        "external_links": TEXTS,
        "dns": either(ADDRESS, listed(ADDRESS)),
        "dns_opt": TEXTS,
        "dns_search": LINES,
        "extra_hosts": either(
            named_by(NAME, either(checked(reached), listed(checked(reached)))),
            listed(checked(extra_host)),
        ),
        "mac_address": MAC,
        # When it runs
        "depends_on": either(
            TEXTS,
            named_by(
                IDENTIFIER,
                keys(
                    {
                        "condition": one_of(
                            "service_started", "service_healthy", "service_completed_successfully"
                        ),
                        "restart": FLAG,
                        "required": scalar("true or false", lambda value: type(value) is bool),
                    },
                    required=("condition",),
                ),
            ),
        ),
        "healthcheck": HEALTH,
        "post_start": listed(_HOOK),
        "pre_stop": listed(_HOOK),
        "deploy": optional(DEPLOY),
        "develop": optional(_DEVELOP),
        "extends": either(NAME, keys({"service": NAME, "file": TEXT}, required=("service",))),
        "provider": keys(
            {"type": NAME, "options": named_by(NAME, either(PLAIN, listed(PLAIN)))},
            required=("type",),
        ),
        # Its privileges
        "cap_add": listed(PRIVILEGE),
        "cap_drop": listed(PRIVILEGE),
        "security_opt": listed(SECURITY),
        "group_add": listed(either(NAME, whole(0, text=False))),
        "device_cgroup_rules": listed(
            pattern(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}", "a rule such as c 195:* rw")
        ),
        "sysctls": PAIRS,
        "credential_spec": keys({"config": TEXT, "file": TEXT, "registry": TEXT}),
        "isolation": one_of("default", "process", "hyperv"),
        "runtime": like(
            *words("runc crun nvidia runsc youki kata"), expected="a runtime, such as runc"
        ),
        "userns_mode": one_of("host", ""),
        "uts": one_of("host", ""),
        "cgroup": one_of("host", "private"),
        "cgroup_parent": TEXT,
        "ipc": one_of(
            *("none", "private", "shareable", "host"),
            expected="none, private, shareable, host or service:NAME",
            also=JOINED_TO,
        ),
        "pid": one_of("host", expected="host or service:NAME", also=JOINED_TO),
        # Its limits
        "blkio_config": _BLOCKS,
        "cpu_count": whole(0),
        "cpu_percent": whole(0, 100),
        "cpu_period": _PROCESSOR_TIME,
        "cpu_quota": whole(-1, 2**31 - 1),
        "cpu_rt_period": _PROCESSOR_TIME,
        "cpu_rt_runtime": _PROCESSOR_TIME,
        "cpu_shares": whole(0, 262144),
        "cpus": real("a number of processors, such as 1.5"),
        "cpuset": pattern(r"(\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*)?", "processors such as 0-3"),
        "mem_limit": SIZE,
        "mem_reservation": SIZE,
        "mem_swappiness": whole(0, 100),
        "memswap_limit": _MEMORY_OR_NONE,
        "oom_kill_disable": FLAG,
        "oom_score_adj": whole(-1000, 1000),
        "pids_limit": whole(-1, 2**22),
        "shm_size": SIZE,
        "ulimits": _ULIMIT,
        "x-workstation": OWN_SERVICE,
    },
)
