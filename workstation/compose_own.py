"""What ``x-workstation`` may say of a file, a secret and a service; ``stack`` has what it means."""

from __future__ import annotations

from workstation.compose_forms import (
    FLAG,
    NAME,
    TEXT,
    keys,
    listed,
    named_by,
    one_of,
    optional,
    real,
)

_OF = "x-workstation"
_TEXTS = optional(named_by(NAME, TEXT, "a mapping to texts"))

OWN_FILE = optional(keys({"disks": optional(listed(TEXT, "a list of folders"))}, of=_OF))
OWN_SECRET = optional(keys({"owner": TEXT}, of=_OF))
OWN_SERVICE = optional(
    keys(
        {
            **dict.fromkeys(("probe", "websocket", "registers", "needs_gpu", "first_start"), TEXT),
            **dict.fromkeys(("owners", "holds"), _TEXTS),
            "model": optional(
                keys(
                    {"path": NAME, "format": one_of("gguf", "safetensors"), "setting": NAME},
                    required=("path", "format", "setting"),
                    of="x-workstation.model",
                )
            ),
            "log": optional(keys({"says": TEXT, "troubles": _TEXTS}, of="x-workstation.log")),
            "image_healthcheck": FLAG,
            "image_gb": real("a number of gigabytes"),
            "on_blackwell": optional(
                keys(
                    {"flag": NAME, "never": NAME, "why": NAME},
                    required=("flag", "never", "why"),
                    of="x-workstation.on_blackwell",
                )
            ),
        },
        of=_OF,
    )
)
