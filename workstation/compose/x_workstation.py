"""The keys of ``x-workstation``: the form, default and meaning of each, stated once.

``compose_schema`` refuses what is not stated here, ``stack`` reads it, and the tables in
docs/services.md are generated from it (``workstation.documentation``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workstation.compose.forms import (
    NAME,
    PLAIN,
    TEXT,
    Form,
    keys,
    listed,
    named_by,
    one_of,
    optional,
    real,
    whole,
)

NAMESPACE = "x-workstation"


@dataclass(frozen=True)
class Key:
    """One key: what it means, in a sentence; its form, or the keys in it; what holds without it.

    ``required``: whether whoever writes the mapping that it is in must write it too.
    """

    meaning: str
    form: Form = TEXT
    default: str = ""
    required: bool = False
    keys: Mapping[str, Key] = field(default_factory=dict)


def _mapping(known: Mapping[str, Key], name: str = NAMESPACE) -> Form:
    """Return the form of a mapping, or nothing at all, with the keys that are stated."""
    forms = {
        key: _mapping(one.keys, f"{name}.{key}") if one.keys else one.form
        for key, one in known.items()
    }
    needed = [key for key, one in known.items() if one.required]
    return optional(keys(forms, required=needed, of=name))


_TEXTS = optional(named_by(NAME, TEXT, "a mapping to texts"))

FILE = {
    "disks": Key(
        "Folders on which a disk of their own must be mounted before anything is made there.",
        optional(listed(TEXT, "a list of folders")),
    ),
    "worker": Key(
        "Your own code, which Celery runs on the host as a systemd unit.",
        keys={
            "repository": Key("Address for git; empty for no worker.", required=True),
            "commit": Key("The commit to run, with all 40 digits of its id.", required=True),
            "folder": Key(
                "The folder in the repository that holds `requirements.txt` and the app.",
                NAME,
                required=True,
            ),
            "app": Key("The Celery app, such as `celery_app.celery`.", NAME, required=True),
            "timeout": Key("Seconds that one task may take.", whole(1), required=True),
            "environment": Key(
                "Its environment variables. In a value, the name of a secret in braces stands for "
                "the secret.",
                named_by(NAME, PLAIN, "a mapping to texts and numbers"),
                required=True,
            ),
        },
    ),
}
"""Keys of the whole file."""

SECRET = {
    "owner": Key(
        "Who reads the file: its numeric `user:group`, or their names on the host.",
        default="root:root",
    )
}
"""Keys of a secret at the top level of the file."""

SERVICE = {
    "probe": Key(
        "Path that acceptance requests: through the proxy, or at the first published port of a "
        "service without a route. The answer's status must be below 400. Empty for a service that "
        "does not speak HTTP.",
        default="/",
    ),
    "websocket": Key("Path that must upgrade to a websocket."),
    "registers": Key(
        "For a service that is InvokeAI: the target of its mount of the model store, whose models "
        "are registered through its API."
    ),
    "model": Key(
        "The model that it loads when it starts; preflight looks for it.",
        keys={
            "path": Key("Its path in the container.", NAME, required=True),
            "format": Key(
                "`gguf` (one file) or `safetensors` (a folder).",
                one_of("gguf", "safetensors"),
                required=True,
            ),
            "setting": Key("The setting of the stack that names it.", NAME, required=True),
        },
    ),
    "needs_gpu": Key(
        "Says that it does not start without a GPU; the text is what to change instead, which "
        "preflight shows."
    ),
    "owners": Key(
        "Source of a bind mount -> its `user:group`, or `user:group mode`. Acceptance checks both, "
        "and that nothing is mounted below its target.",
        _TEXTS,
        default="root:root 755",
    ),
    "first_start": Key("How long a slow first start takes, in words, for the plan."),
    "log": Key(
        "What its log is checked for, from the start of the container on.",
        keys={
            "says": Key("Text that it must have."),
            "troubles": Key("Text that it must not have -> what to do then.", _TEXTS),
        },
    ),
    "holds": Key(
        "Source of a writable mount -> what is in it, and how that comes back if it is lost. "
        "`tasks/losses.py` shows it.",
        _TEXTS,
    ),
    "image_gb": Key(
        "Uncompressed gigabytes that its image adds to those of the stack's other services; "
        "preflight compares them with the free disk space.",
        real("a number of gigabytes"),
    ),
    "on_blackwell": Key(
        "What its command line must and must not have on cards of the Blackwell family.",
        keys={
            "flag": Key("Flag that must be there.", NAME, required=True),
            "never": Key("Flag that must not be there.", NAME, required=True),
            "why": Key("The reason, which preflight shows.", NAME, required=True),
        },
    ),
}
"""Keys of a service."""

OWN_FILE, OWN_SECRET, OWN_SERVICE = (_mapping(known) for known in (FILE, SECRET, SERVICE))
