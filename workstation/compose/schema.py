"""The schema of a Compose file at every depth: keys, types and fixed words.

Keys and types are those of Compose 2.40 (github.com/compose-spec/compose-go 2.9,
schema/compose-spec.json). ``values`` has the words that Compose passes on and that the Engine
rejects or ignores when it creates the container. ``tests/recorded/compose-2.40`` has Compose's own
verdict on several thousand values; where this table accepts less,
``tests/unit/test_compose_schema.py`` gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workstation.compose.forms import (
    ANYTHING,
    FLAG,
    NAME,
    TEXT,
    Problem,
    keys,
    like,
    listed,
    named_by,
    optional,
    pattern,
    scalar,
    whole,
)
from workstation.compose.service import (
    SERVICE,
)
from workstation.compose.values import (
    ADDRESS,
    IDENTIFIER,
    NETWORK,
    NUMBERS,
    PAIRS,
    TEXTS,
)
from workstation.compose.x_workstation import OWN_FILE, OWN_SECRET

_EXTERNAL = scalar(
    "true or false; its name on the host goes in `name`",
    lambda value: not next(FLAG.problems(value, ()), None),
)
_NETWORK = keys(
    {
        "name": NAME,
        "driver": like(
            *("bridge", "host", "none", "overlay", "macvlan", "ipvlan"),
            expected="a network driver, such as bridge",
        ),
        "driver_opts": NUMBERS,
        "ipam": keys(
            {
                "driver": TEXT,
                "config": listed(
                    keys(
                        {
                            "subnet": NETWORK,
                            "ip_range": NETWORK,
                            "gateway": ADDRESS,
                            "aux_addresses": named_by(NAME, ADDRESS),
                        }
                    )
                ),
                "options": named_by(NAME, TEXT),
            }
        ),
        "external": _EXTERNAL,
        "internal": FLAG,
        "enable_ipv4": FLAG,
        "enable_ipv6": FLAG,
        "attachable": FLAG,
        "labels": PAIRS,
    }
)


_VOLUME = keys(
    {
        "name": NAME,
        "driver": like("local", expected="a volume driver, such as local"),
        "driver_opts": NUMBERS,
        "external": _EXTERNAL,
        "labels": PAIRS,
    }
)
_KEPT = {
    "name": NAME,
    "environment": NAME,
    "file": NAME,
    "external": _EXTERNAL,
    "labels": PAIRS,
    "template_driver": TEXT,
}
_SECRET = keys({**_KEPT, "driver": TEXT, "driver_opts": NUMBERS, "x-workstation": OWN_SECRET})
_MODEL = keys(
    {
        "name": TEXT,
        "model": NAME,
        "context_size": whole(0, text=False),
        "runtime_flags": TEXTS,
    },
    required=("model",),
)
_FILE = keys(
    {
        "name": pattern("[a-z0-9][a-z0-9_-]*", "lowercase letters, digits, dashes and underscores"),
        "version": TEXT,
        "services": named_by(IDENTIFIER, SERVICE),
        "networks": optional(named_by(IDENTIFIER, optional(_NETWORK))),
        "volumes": optional(named_by(IDENTIFIER, optional(_VOLUME))),
        "secrets": optional(named_by(IDENTIFIER, _SECRET)),
        "configs": optional(named_by(IDENTIFIER, keys({**_KEPT, "content": TEXT}))),
        "models": optional(named_by(IDENTIFIER, _MODEL)),
        "include": ANYTHING,
        "x-workstation": OWN_FILE,
    },
)


def problems(content: Any) -> Iterator[Problem]:
    """Yield problems in a Compose file whose variables have been replaced.

    Each is a path of keys, and the end of a sentence about that place.
    """
    yield from _FILE.problems(content, ())
