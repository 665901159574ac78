"""The outcome of a value: a sentence, or files that are compared with those of a harmless value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.unit.test_templates import ROOT, data
from tests.unit.wrong_inputs import SECRET, values
from workstation import pins, quoting, settings
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.mounts import cifs
from workstation.mounts.credentials import credentials_file
from workstation.operations import smb
from workstation.render import StackRenderer, template
from workstation.rendered import RenderedStack
from workstation.settings import Settings
from workstation.yaml_file import ComposeLoader

DEFAULTS = {
    **settings.defaults(ROOT / "group_data/all.py"),
    "smb_server": "nas",
    "smb_share": "share",
    "smb_user": "user",
    "smb_password": SECRET,
    **dict.fromkeys(
        ("redis_password", "dockge_password", "openwebui_password", "imagen_api_key"), SECRET
    ),
}


STACKS = ["dhoch3", "knowledge-center", "prometheus", "imagen", "chat-to-3d", "proxy"]


VALUES = values()


PINS = pins.load(ROOT / "pins.yml")


NONE = Mirror()


def render(
    stack: str, given: Settings, changed: dict[str, Any] | None = None, **how: Any
) -> RenderedStack:
    return StackRenderer(
        stack,
        given,
        how.get("pinned", PINS),
        how.get("mirror", NONE),
        {**data(stack), **(changed or {})},
        how.get("gpu", True),
    ).render()


def files_of(stack: RenderedStack) -> dict[str, Any]:
    """Every file rendered from a template, parsed by its own parser."""
    found: dict[str, Any] = {"secrets": sorted(stack.secrets)}
    for path, content in stack.files.items():
        text = content.decode()
        if path.endswith((".yaml", ".yml")):
            parsed = yaml.load(text, ComposeLoader)
            found[path] = quoting.interpolated(parsed, {}) if "compose" in path else parsed
        elif path.endswith("Dockerfile"):
            found[path] = text.splitlines()
    return found


def units(given: Settings) -> dict[str, Any]:
    """The units that contain settings."""
    made = {
        "containers": template(
            "docker/ai-workstation-containers.service.j2",
            projects=["proxy", "dhoch3"],
            share=given.smb_mount,
        ),
        "ollama": template(
            "ollama/drop-in.conf.j2",
            models=given.ollama_models,
            port=given.ollama_port,
            environment=given.ollama_environment,
        ),
        **{
            name: template(
                f"ollama/ollama-docker{name}.j2",
                port=given.ollama_port,
                manage=given.ollama_from_containers == "manage",
            )
            for name in ("-guard.service", ".service", ".socket")
        },
    }
    return {name: [list(line) for line in unit(text)] for name, text in made.items()}


def share(given: Settings) -> dict[str, Any]:
    """The share's entry in fstab and its credentials, as mount(8) and mount.cifs(8) read them."""
    path = smb.credentials_path(given)
    line = smb.fstab_entry(given, path).line()
    # getmntent(3): fields separated by spaces and tabs, in which four characters are in octal.
    fields = [
        re.sub(r"\\(040|011|012|134)", lambda found: chr(int(found[1], 8)), field)
        for field in re.split(r"[ \t]+", line)
    ]
    assert len(fields) == 6, line
    assert not re.search(r"[\r\n\0]|^#", line), line
    source, target, kind, options, *numbers = fields
    content = credentials_file(
        given.smb_user, given.smb_password.get_secret_value(), given.smb_domain
    )
    known = [line.partition("=")[::2] for line in content.decode().splitlines()]
    assert len({name for name, _ in known}) == len(known)
    # The mark at the end is a digest of the rest.
    listed = [one for one in options.split(",") if not one.startswith(cifs.MARK)]
    return {
        "fstab": [source, target, kind, listed, *numbers],
        "credentials": {"domain": "", **dict(known)},
        "path": path,
    }


def outcome(ask: Callable[[], Any]) -> Any:
    """The rendered result, or None for a rejection; anything except one of our sentences is a
    failure."""
    try:
        return ask()
    except UserError as error:
        assert_sentence(str(error))
        return None


def the_one_in(value: Any) -> Any:
    """The text that stands for a setting's value: itself, or the one inside it."""
    if isinstance(value, dict):
        return next(iter(value.values()))
    return value[0] if isinstance(value, list) else value


def in_lists(harmless: Any) -> list[Any]:
    """The wrong values again, for settings that are a list or a mapping."""
    if isinstance(harmless, list):
        return [[value] for value in VALUES]
    return [{"HARMLESS": value} for value in VALUES] if isinstance(harmless, dict) else []


def failures(cases: list[Any], check: Callable[[Any], None]) -> None:
    """Check every case, and describe all that fail."""
    found = []
    for case in cases:
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:
            found.append(f"{ascii_of(case)}: {type(error).__name__} {str(error)[:300]}")
    assert not found, f"{len(found)} of {len(cases)}:\n" + "\n".join(found[:20])


def ascii_of(value: Any) -> str:
    try:
        return ascii(value)[:120]
    except Exception:
        return type(value).__name__


def keys_of(value: Any) -> Any:
    """A parsed file without its texts, which leaves its structure."""
    if isinstance(value, dict):
        return {key: keys_of(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [keys_of(entry) for entry in value]
    return type(value).__name__


def dump(content: Any) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False))


def assert_sentence(message: str) -> None:
    """A single sentence for a user: short, on one line, and without a secret."""
    assert message.strip()
    assert "\n" not in message
    assert "\r" not in message
    assert message.isprintable(), ascii(message)
    assert len(message) < 1000, message[:100]
    assert message.endswith("."), message
    assert "Traceback" not in message
    assert SECRET not in message


# Built images have a hash of all their inputs in their tag, files a hash in a label.
_HASHES = re.compile(r"\b[0-9a-f]{12}\b")


def replaced(value: Any, harmless: Any, given: Any) -> Any:
    """The expected parsed file, with ``given`` in place of a harmless text or number."""
    if isinstance(value, dict):
        return {
            replaced(key, harmless, given): replaced(entry, harmless, given)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [replaced(entry, harmless, given) for entry in value]
    if value == harmless:
        return given
    return value.replace(str(harmless), str(given)) if isinstance(value, str) else value


def difference(found: Any, expected: Any, place: str = "") -> str:
    """The first unexpected place in a parsed file, apart from hashes; or nothing."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in {**found, **expected}:
            if key not in found or key not in expected:
                return f"{place}: {key!r} is {'lacking' if key in expected else 'too many'}"
            if deeper := difference(found[key], expected[key], f"{place}.{key}"):
                return deeper
        return ""
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = zip(found, expected, strict=True)
        deeper = (difference(*pair, f"{place}[{n}]") for n, pair in enumerate(pairs))
        return next((one for one in deeper if one), "")
    if isinstance(found, str) and isinstance(expected, str):
        found, expected = _HASHES.sub("HASH", found), _HASHES.sub("HASH", expected)
    same = type(found) is type(expected) and found == expected
    return "" if same else f"{place}: {found!r} instead of {expected!r}"


def unit(text: str) -> list[tuple[str, str]]:
    """The settings of a systemd unit, as systemd understands them (systemd.syntax(7))."""
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip() or line[0] in "#;":
            continue
        if line.startswith("["):
            found.append(("section", line))
            continue
        name, separator, value = line.partition("=")
        assert separator, line
        assert re.fullmatch(r"[A-Za-z]+", name), line
        value = value.replace("%%", "%")
        if name.startswith("Exec"):
            value = value.replace("$$", "$")
            # Here the last word is the one that contains a value.
            command, last = re.fullmatch(r'(.*?)("(?:[^"\\]|\\.)*")?', value).groups("")
            found.append((name, command + _unquoted(last)))
            continue
        found.append((name, _unquoted(value)))
    return found


def _unquoted(value: str) -> str:
    if not value.startswith('"') or not value.endswith('"'):
        return value
    inner = value[1:-1]
    assert not re.search(r'(?<!\\)(\\\\)*"', inner), f"a quote ends the word: {value}"
    return re.sub(r"\\(.)", r"\1", inner)
