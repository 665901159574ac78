"""The schema of ``deploy`` in a service of a Compose file, and of the description of devices."""

from __future__ import annotations

from workstation.compose.forms import (
    TEXT,
    checked,
    either,
    keys,
    like,
    listed,
    one_of,
    real,
    size,
    whole,
)
from workstation.compose.values import DURATION, PAIRS, REPLICAS, TEXTS

DEVICES = {
    "capabilities": listed(
        like(
            *(
                "gpu",
                "tpu",
                "amd",
                "nvidia",
                "compute",
                "utility",
                "graphics",
                "video",
                "display",
                "compat32",
            ),
            expected="a device capability, such as gpu",
        ),
        "a list of strings",
    ),
    "count": either(one_of("all"), whole(-1)),
    "device_ids": TEXTS,
    "driver": like("nvidia", "cdi", "amd", expected="a device driver, such as cdi"),
    "options": PAIRS,
}
_RESOURCE = {
    "cpus": real("a number of processors"),
    "memory": checked(
        lambda value: (
            "a size with its unit, such as 8gb" if not isinstance(value, str) else size(value)
        )
    ),
}
_UPDATE = {
    "parallelism": REPLICAS,
    "delay": DURATION,
    "monitor": DURATION,
    "max_failure_ratio": real("a number from 0 to 1"),
    "order": one_of("start-first", "stop-first"),
}
DEPLOY = keys(
    {
        "mode": one_of("replicated", "global", "replicated-job", "global-job"),
        "endpoint_mode": one_of("vip", "dnsrr"),
        "replicas": REPLICAS,
        "labels": PAIRS,
        "update_config": keys(
            {**_UPDATE, "failure_action": one_of("continue", "pause", "rollback")}
        ),
        "rollback_config": keys({**_UPDATE, "failure_action": one_of("continue", "pause")}),
        "resources": keys(
            {
                "limits": keys({**_RESOURCE, "pids": whole(-1)}),
                "reservations": keys(
                    {
                        **_RESOURCE,
                        "devices": listed(keys(DEVICES, required=("capabilities",))),
                        "generic_resources": listed(
                            keys(
                                {"discrete_resource_spec": keys({"kind": TEXT, "value": whole(0)})}
                            )
                        ),
                    }
                ),
            }
        ),
        "restart_policy": keys(
            {
                "condition": one_of("none", "on-failure", "any", "always", "unless-stopped"),
                "delay": DURATION,
                "max_attempts": REPLICAS,
                "window": DURATION,
            }
        ),
        "placement": keys(
            {
                "constraints": TEXTS,
                "preferences": listed(keys({"spread": TEXT})),
                "max_replicas_per_node": REPLICAS,
            }
        ),
    }
)
