"""The keys of ``x-workstation``: the form, default and meaning of each, defined once.

``schema`` rejects anything that is not defined here, ``stack`` reads the values, and the tables in
docs/services.md are generated from this module (``workstation.documentation``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workstation.compose.fence import EGRESS
from workstation.compose.forms import (
    NAME,
    PLAIN,
    TEXT,
    Form,
    checked,
    keys,
    listed,
    named_by,
    one_of,
    optional,
    pattern,
    real,
    whole,
)
from workstation.traefik import rules
from workstation.worker import APP, COMMIT, FOLDER, repository

NAMESPACE = "x-workstation"


@dataclass(frozen=True)
class Key:
    """One key: its meaning in a sentence; its form, or the keys in it; its default.

    ``required``: whether it must be present if the mapping around it is; ``many``: whether it is a
    list of mappings with ``keys``.
    """

    meaning: str
    form: Form = TEXT
    default: str = ""
    required: bool = False
    keys: Mapping[str, Key] = field(default_factory=dict)
    many: bool = False


def _mapping(known: Mapping[str, Key], name: str = NAMESPACE) -> Form:
    """Return the form of an optional mapping with the defined keys."""
    return optional(_exactly(known, name))


def _exactly(known: Mapping[str, Key], name: str) -> Form:
    """Return the form of a mapping with the defined keys."""
    forms = {key: _form(one, f"{name}.{key}") for key, one in known.items()}
    needed = [key for key, one in known.items() if one.required]
    return keys(forms, required=needed, of=name)


def _form(key: Key, name: str) -> Form:
    """Return the form of the value of one key."""
    if not key.keys:
        return key.form
    inner = _exactly(key.keys, name)
    return optional(listed(inner, "a list of mappings") if key.many else inner)


def _address(value: object) -> str:
    try:
        repository(str(value))
    except ValueError as error:
        return str(error).removeprefix("expected ")
    return ""


def _rule(value: object) -> str:
    try:
        rules.parse(str(value))
    except rules.RuleError as error:
        return f"a part of a rule in Traefik 3 ({error})"
    return ""


def _command(value: object) -> str:
    words = value if isinstance(value, list) else []
    if not words or not all(isinstance(word, str) and "\0" not in word for word in words):
        return "a list of words, such as [python3, check.py]"
    return "" if words[0] else "a command that is not empty"


_TEXTS = optional(named_by(NAME, TEXT, "a mapping to strings"))

FILE = {
    "disks": Key(
        "Folders where a separate disk must be mounted before anything is created there.",
        optional(listed(TEXT, "a list of folders")),
    ),
    "worker": Key(
        "Your own code, which Celery runs on the host as a systemd unit.",
        keys={
            "repository": Key(
                "Git address (https:// or ssh://); empty for no worker.",
                checked(_address),
                required=True,
            ),
            "commit": Key(
                "The commit to run, with all 40 digits of its ID.", pattern(*COMMIT), required=True
            ),
            "folder": Key(
                "The folder in the repository that contains `requirements.txt` and the app.",
                pattern(*FOLDER),
                required=True,
            ),
            "app": Key(
                "The Celery app, such as `celery_app.celery`.", pattern(*APP), required=True
            ),
            "timeout": Key("Seconds that one task may take.", whole(1), required=True),
            "environment": Key(
                "Its environment variables. In a value, the name of a secret in braces stands for "
                "the secret.",
                named_by(NAME, PLAIN, "a mapping to strings and numbers"),
                required=True,
            ),
        },
    ),
}
"""Keys of the whole file."""

SECRET = {
    "owner": Key(
        "Who reads the file: a numeric `user:group`, or their names on the host.",
        default="root:root",
    )
}
"""Keys of a secret at the top level of the file."""

SERVICE = {
    "probe": Key(
        "Path that acceptance requests: through the proxy, or at the first published port of a "
        "service without a route. The HTTP status must be below 400. Empty for a service that does "
        "not speak HTTP.",
        default="/",
    ),
    "websocket": Key("Path that must upgrade to a WebSocket."),
    "loopback": Key(
        "Port of the machine's loopback at which another service of the stack, a proxy, answers "
        "for this one.",
        whole(1, 65535),
    ),
    "open": Key(
        "Requests for which our own proxy asks for no login, because the program checks keys of "
        "its own: a part of a rule in Traefik's language, such as ``PathPrefix(`/api/`)``.",
        checked(_rule),
    ),
    "setup": Key(
        "Where the program shows that it still offers its set-up page, which makes the first "
        "visitor its administrator. Acceptance fails then.",
        keys={
            "path": Key("Path that acceptance requests, as it does `probe`.", NAME, required=True),
            "shows": Key(
                "Text of the answer while there is no account; spaces do not count.",
                NAME,
                required=True,
            ),
        },
    ),
    "registers": Key(
        "For InvokeAI: the target of its model store mount. The models in it are registered "
        "through InvokeAI's API."
    ),
    "models": Key(
        "The models that the service loads. Preflight checks that each exists in its format, and "
        "names those that are missing together with their settings.",
        keys={
            "path": Key("Its path in the container.", NAME, required=True),
            "format": Key(
                "`gguf` (one file), `safetensors` (a folder from Hugging Face with `config.json`), "
                "`pytorch` (one file: `.pth`, `.pt` or `.safetensors`), or `diffusers` (a folder "
                "with `model_index.json` and the folders of weights that it names).",
                one_of("gguf", "safetensors", "pytorch", "diffusers"),
                required=True,
            ),
            "setting": Key(
                "The stack's setting that names it; `models.upscale` for one within `models`.",
                NAME,
                required=True,
            ),
        },
        many=True,
    ),
    "check": Key(
        "A command that checks the service from the inside. Acceptance runs it in its container. "
        "It prints a line of JSON for each check: `name`, `ok` (true or false), `evidence` and "
        "`fix` (text), and each becomes a finding. Anything else that it prints to standard "
        "output, no line at all, and an exit status other than 0 without a failed check are "
        "failures.",
        keys={
            "command": Key("The command, as a list of words.", checked(_command), required=True),
            "timeout": Key(
                "Seconds that it may take. Acceptance waits that much longer for its answers.",
                whole(1, 3600),
                required=True,
            ),
        },
    ),
    "egress": Key(
        "What the service may reach outside its own networks: `lan` (everything), `internet` "
        "(public addresses), or `none`. It then reaches no port of the machine itself except "
        "Ollama's, if it has a name for the machine. Without this key, the service is not fenced "
        "in ([hardening.md](hardening.md#what-a-container-reaches)).",
        one_of(*EGRESS),
    ),
    "needs_gpu": Key(
        "The service does not start without a GPU; the text says what to change instead, and "
        "preflight shows it."
    ),
    "gpu_memory": Key(
        "Gigabytes that the service needs on one card. Preflight compares them with the card's "
        "whole memory, not with what is free.",
        real("a number of gigabytes"),
    ),
    "owners": Key(
        "Source of a bind mount -> its `user:group`, or `user:group mode`. Acceptance checks both, "
        "and that nothing is mounted below its target.",
        _TEXTS,
        default="root:root 755",
    ),
    "first_start": Key("How long a slow first start takes, in words, for the plan."),
    "log": Key(
        "Acceptance checks the log since the start of the container.",
        keys={
            "says": Key("Text that must be in the log."),
            "troubles": Key("Text that must not be in the log -> what to do about it.", _TEXTS),
        },
    ),
    "holds": Key(
        "Source of a writable mount -> what is in it, and how to get it back if it is lost. "
        "`tasks/losses.py` shows it.",
        _TEXTS,
    ),
    "image_gb": Key(
        "Uncompressed gigabytes that its image adds to those of the stack's other services; "
        "preflight compares them with the free disk space.",
        real("a number of gigabytes"),
    ),
    "on_blackwell": Key(
        "Flags that the command line must and must not have on Blackwell cards.",
        keys={
            "flag": Key("Flag that it must have.", NAME, required=True),
            "never": Key("Flag that it must not have.", NAME, required=True),
            "why": Key("The reason, which preflight shows.", NAME, required=True),
        },
    ),
}
"""Keys of a service."""

OWN_FILE, OWN_SECRET, OWN_SERVICE = (_mapping(known) for known in (FILE, SECRET, SERVICE))
