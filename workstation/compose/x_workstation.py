"""What ``x-workstation`` may say of a file, a secret and a service; ``stack`` has what it means."""

from __future__ import annotations

from workstation.compose.forms import (
    NAME,
    PLAIN,
    TEXT,
    keys,
    listed,
    named_by,
    one_of,
    optional,
    real,
    whole,
)

_OF = "x-workstation"
_TEXTS = optional(named_by(NAME, TEXT, "a mapping to texts"))

_WORKER = keys(
    {
        **dict.fromkeys(("repository", "commit"), TEXT),
        **dict.fromkeys(("folder", "app"), NAME),
        "timeout": whole(1),
        "environment": named_by(NAME, PLAIN, "a mapping to texts and numbers"),
    },
    required=("repository", "commit", "folder", "app", "timeout", "environment"),
    of="x-workstation.worker",
)

OWN_FILE = optional(
    keys(
        {"disks": optional(listed(TEXT, "a list of folders")), "worker": optional(_WORKER)}, of=_OF
    )
)
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
