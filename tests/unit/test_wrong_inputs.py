"""There is never a traceback, and never a silent yes: user input is rejected in one sentence, or
arrives unchanged in a file that is otherwise the same.

Thousands of values from ``wrong_inputs`` go into every setting and connection key here, and in the
modules next to this one into entries of a stack's data, Compose files, pins, mirrors and command
lines.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.unit import wrong_inputs
from tests.unit.test_templates import ROOT
from tests.unit.wrong_inputs import SECRET, misses
from tests.unit.wrong_outcomes import (
    DEFAULTS,
    STACKS,
    VALUES,
    assert_sentence,
    difference,
    failures,
    files_of,
    in_lists,
    outcome,
    render,
    replaced,
    share,
    the_one_in,
    units,
)
from workstation import environment, settings
from workstation.errors import UserError
from workstation.settings import SECRETS, Settings

# The harmless value of each setting to compare wrong values with: different from any other text.
HARMLESS: dict[str, Any] = {
    "stacks_dir": "/harmless/stacks",
    "domain": "harmless.example",
    "service_user": "harmless",
    "service_uid": 47114711,
    "service_group": "harmless",
    "service_gid": 47114711,
    "models_path": "/harmless/models",
    "models_folders": ["harmless"],
    "smb_mount": "/harmless/share",
    "smb_server": "harmless",
    "smb_share": "harmless",
    "smb_user": "harmless",
    "smb_password": "harmless",
    "smb_domain": "harmless",
    "smb_options": ["harmless=47117"],
    "ollama_models": "/harmless/ollama",
    "ollama_port": 47117,
    "ollama_environment": {"HARMLESS": "harmless"},
    "proxy_network": "harmless",
    "proxy_entrypoint": "harmless",
    "proxy_certresolver": "harmless",
    "proxy_middlewares": ["harmless"],
    "proxy_http_port": 47117,
    "proxy_read_timeout": "47117h",
    "proxy_pids_limit": 47117,
    "proxy_mem_limit": "47117mb",
}


def uses(name: str) -> list[str]:
    """The stacks whose templates use a setting."""
    found = []
    for stack in STACKS:
        folder = ROOT / "templates/stacks" / stack
        text = "".join(path.read_text() for path in folder.rglob("*.j2"))
        text += (ROOT / "templates/stacks/macros.j2").read_text() if stack != "proxy" else ""
        if f"settings.{name}" in text:
            found.append(stack)
    return found


def words(value: Any) -> list[str]:
    """Possible inputs for a setting that is in no file: texts, and numbers as texts."""
    listed = value.split(",") if isinstance(value, str) else value
    listed = listed if isinstance(listed, list | tuple) else [listed]
    return [str(one).strip().removeprefix("+") for one in listed if str(one).strip()]


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_refused_or_arrives_as_it_is(name: str):
    """In every file that contains it, and nothing else in these files changes."""
    base = {**DEFAULTS, "proxy": "existing" if name.startswith("proxy_c") else DEFAULTS["proxy"]}
    harmless = HARMLESS.get(name)
    made: dict[str, Any] = {}

    def everything(value: Any) -> dict[str, Any]:
        given = settings.load({**base, name: value}, STACKS)
        stacks = uses(name) if harmless is not None else []
        return {
            "units": units(given),
            "share": share(given),
            "accepted": plain(getattr(given, name)),
            **{stack: files_of(render(stack, given)) for stack in stacks},
        }

    if harmless is not None:
        made = everything(harmless)
        del made["accepted"]

    def check(value: Any) -> None:
        if name in SECRETS and isinstance(value, str):
            value = SECRET + value
        found = outcome(lambda: everything(value))
        if found is None:
            return
        accepted = found.pop("accepted")
        if harmless is None:
            assert words(accepted) == words(value)
            return
        if name == "proxy_mem_limit":
            accepted = int(accepted) if accepted == "0" else accepted  # as Compose accepts it too
        several = isinstance(accepted, list | dict) and len(accepted) != 1
        if several or accepted == "":
            return  # none, or words separated by commas
        assert difference(found, replaced(made, the_one_in(harmless), the_one_in(accepted))) == ""

    cases = [*VALUES, *in_lists(harmless)]
    failures(cases, check)


UNCHECKED = [
    *("a\nprivileged: true", "a\n    b: c", "x}", "x, privileged: true", "a: b", "a #b", "$HOME"),
    *("'", '"', "\\", "*x", "&x", "[a", "{a", "%h", "a\nUSER root", "a && id", "`id`", "é", "null"),
]


# Memory is not a text for Compose: it is a plain word there, or is rejected. Settings themselves
# reject characters that a mount option cannot contain, such as a comma.
IN_TEMPLATES = {name for name in HARMLESS if not name.startswith("smb_")} | {"smb_mount"}
IN_TEMPLATES -= {"proxy_mem_limit"}


@pytest.mark.parametrize("name", sorted(IN_TEMPLATES))
def test_a_setting_that_nobody_has_checked_stays_in_its_place_all_the_same(name: str):
    """The templates do not rely on the current checks of settings."""
    harmless = HARMLESS[name]
    base = settings.load({**DEFAULTS, "proxy": "existing"}, STACKS)

    def everything(value: Any) -> dict[str, Any]:
        if isinstance(harmless, list):
            value = [value]
        if isinstance(harmless, dict):
            value = {"HARMLESS": value}
        given = base.model_copy(update={name: value})
        return {"units": units(given)} | {
            stack: files_of(render(stack, given)) for stack in uses(name)
        }

    made = everything(the_one_in(harmless))

    def check(value: str) -> None:
        found = outcome(lambda: everything(value))
        if found is not None:
            assert difference(found, replaced(made, the_one_in(harmless), value)) == ""

    failures(UNCHECKED, check)


def test_a_name_of_a_variable_is_refused_or_is_one_name():
    """In Ollama's unit, and in its container."""
    given = settings.load(DEFAULTS, STACKS)

    def check(name: Any) -> None:
        for ask in (
            lambda: units(settings.load({**DEFAULTS, "ollama_environment": {name: "x"}}, STACKS)),
            lambda: files_of(render("prometheus", given, {"ollama_environment": {name: "x"}})),
        ):
            found = outcome(ask)
            if found is not None and "ollama" in found:
                assert ["Environment", f"{name}=x"] in found["ollama"]
            elif found is not None:
                keys = found["compose.yaml"]["services"]["ollama"]
                assert keys["environment"] == {name: "x"}

    failures(list(wrong_inputs.texts()), check)


def test_a_name_that_is_nearly_a_settings_is_refused_with_the_settings():
    """The same for names close to pyinfra's."""

    def check(name: str) -> None:
        with pytest.raises(UserError) as caught:
            settings.load({**DEFAULTS, name: "x"}, STACKS)
        assert_sentence(str(caught.value))
        assert "did you mean" in str(caught.value)

    names = [*Settings.model_fields, "ssh_port", "ssh_user", "_sudo", "_use_sudo_login"]
    failures([miss for name in names for miss in misses(name)], check)


@pytest.mark.parametrize("key", environment.CONNECTION_KEYS)
def test_a_connection_key_is_refused_or_given_to_pyinfra_as_it_is(key: str, tmp_path: Path):
    """From the environment, whose values no parser has seen."""

    def check(value: str) -> None:
        given = {"WORKSTATION_HOST": "gpu1", key: value}
        found = outcome(lambda: environment.read(given, tmp_path, ["dhoch3"]))
        if found is None:
            return
        if key == "WORKSTATION_HOST":
            assert found.host == value
        elif key == "STACKS":
            assert set(found.stacks) == {"dhoch3"}
        elif value:
            path = os.path.normpath(os.path.expanduser(value))
            assert str(next(iter(found.connection.values()))) in (value, path)
        assert not any(character in found.host for character in " '\"\n;|&$")

    failures(list(wrong_inputs.texts()), check)


LINES = [
    *(
        b"SMB_PASSWORD=" + SECRET.encode() + end
        for end in (b"\xe4", b"\0", b" # x", b"\x1b[0m", b"'")
    ),
    *(b"DOMAIN=a.de" + end for end in (b"\xff", b"\0", b"\\n'", b"\x85", b"\r\rGPU=none", b"'x")),
    *(b"DOMAIN" + separator + b"a.de" for separator in (b":", b" ", b" = = ", b"\t", b"==", b"")),
    *(b"'" * 10**5, b'"' * 10**5, b"\\" * 10**5, b"=" * 10**5, b"A=" * 10**5, b"x" * 10**6),
    *(b"DOMAIN='" + b"x\n" * 10**5 + b"'", b"export export GPU=none", b"GPU=none GPU=none"),
    *(b"${GPU}=none", b"GPU=${HOME}", b"GPU=$(id)", b"[section]", b"{'GPU': 1}", b"---\nGPU: none"),
    *(
        "GPU=nоne".encode(),
        "ＧＰＵ=none".encode(),
        "ОLLAMA_PORT=1".encode(),
        b"\xef\xbb\xbf\xef\xbb\xbf",
    ),
]


def test_a_line_of_env_is_refused_or_read(tmp_path: Path):
    """Whatever the line is, no password is shown."""

    def check(line: bytes) -> None:
        (tmp_path / ".env").write_bytes(b"WORKSTATION_HOST=gpu1\n" + line + b"\n")
        found = outcome(lambda: environment.read({}, tmp_path, ["dhoch3"]))
        if found is not None:
            outcome(lambda: settings.load({**DEFAULTS, **found.settings}))

    failures(LINES, check)


def test_a_name_that_is_nearly_a_keys_is_refused_in_env(tmp_path: Path):
    """With the closest valid name."""

    def check(name: str) -> None:
        (tmp_path / ".env").write_text(f"WORKSTATION_HOST=gpu1\n{name}=x\n")
        with pytest.raises(UserError) as caught:
            environment.read({}, tmp_path, ["dhoch3"])
        assert_sentence(str(caught.value))

    keys = [*environment.CONNECTION_KEYS, *environment.SETTING_KEYS]
    # python-dotenv ignores spaces around a name.
    failures([miss for key in keys for miss in misses(key) if miss.strip() != key], check)


NESTED = [
    ({"stacks_dir": "/vol/models/stacks", "models_path": "/vol/models"}, "stacks_dir is inside"),
    ({"models_path": "/opt/stacks/models"}, "models_path is inside stacks_dir"),
    ({"models_path": "/vol/x", "ollama_models": "/vol/x"}, "is the same folder"),
    ({"models_path": "/vol/x", "ollama_models": "/vol/x/y"}, "ollama_models is inside models_path"),
    ({"smb_mount": "/opt/stacks"}, "share"),
    ({"models_path": "/vol/x", "smb_mount": "/vol/x/share"}, "smb_mount is inside models_path"),
    ({"models_path": "/etc"}, "not a system folder"),
    ({"models_path": "/usr"}, "not a system folder"),
    ({"stacks_dir": "/var/lib/docker/x"}, "not a system folder"),
    ({"ollama_models": "/mnt"}, "not a system folder"),
    ({"proxy_certresolver": "le"}, "whose certificates come from tls"),
    ({"proxy_middlewares": ["auth@file"]}, "knows only middlewares from labels"),
    ({"proxy_entrypoint": "a.b"}, "dots separate options"),
    ({"smb_options": ["vers=3.0", "vers=2.1"]}, "each entry only once"),
    ({"proxy_middlewares": ["a", "a"]}, "each entry only once"),
    ({"models_folders": ["base_path"]}, "has another meaning in ComfyUI"),
    ({"domain": "192.168.0.5"}, "an IP address has no subdomains"),
    ({"service_uid": True}, "expected a valid integer"),
    ({"service_uid": 0}, "expected a number from 1"),
    ({"_sudoo": True}, "did you mean _sudo?"),
    ({"_sudo": "no"}, "expected true or false"),
    ({"ssh_prot": 22}, "did you mean ssh_port?"),
]


@pytest.mark.parametrize(("given", "expected"), NESTED)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], expected: str):
    """Each alone would be valid."""
    with pytest.raises(UserError) as caught:
        settings.load({**DEFAULTS, **given}, STACKS)
    assert_sentence(str(caught.value))
    assert expected in str(caught.value)


def test_a_name_behind_an_underscore_may_be_somebodys_own():
    """Python's usual convention for that."""
    settings.load({**DEFAULTS, "_base": "/vol", "_models_of_mine": "x"}, STACKS)


def test_there_are_hundreds_of_wrong_inputs():
    """So nobody can shorten the lists without noticing."""
    assert len(VALUES) > 220
    assert len(Settings.model_fields) * len(VALUES) > 5000
