"""Documents that are generated from the definition of each setting and key, and the rules for those
definitions."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_templates import ROOT, STACKS
from workstation import documentation, stack_settings
from workstation.compose import x_workstation
from workstation.compose.x_workstation import Key
from workstation.settings import Settings
from workstation.stack import Secret, Service
from workstation.stack_settings import Declared


@pytest.mark.parametrize("path", documentation.documents())
def test_a_document_says_what_the_settings_and_keys_say(path: str):
    assert path not in documentation.outdated(), f"run {documentation.COMMAND}, and commit {path}"


def meanings() -> dict[str, str]:
    """Return the meaning of each setting and key."""
    found = {name: str(field.description) for name, field in Settings.model_fields.items()}

    def keys(known: Any, before: str) -> None:
        for name, key in known.items():
            found[f"{before}.{name}"] = key.meaning
            keys(key.keys, f"{before}.{name}")

    for name in ("FILE", "SECRET", "SERVICE"):
        keys(getattr(x_workstation, name), name)
    for stack in STACKS:
        for name, one in stack_settings.declared(stack).items():
            for key, inner in {"": one}.items() if isinstance(one, Declared) else one.items():
                assert isinstance(inner, Declared)
                found[f"{stack}.{name}.{key}"] = inner.meaning
    return found


def test_each_meaning_is_made_of_whole_sentences():
    """They become cells of a table, and comments in .env.example."""
    for name, meaning in meanings().items():
        assert re.fullmatch(r"[A-Z`a-z].*\.", meaning), name
        assert "\n" not in meaning, name
        assert meaning.count("`") % 2 == 0, name


def test_a_default_of_a_key_is_what_is_read_without_it():
    """It is stated next to the meaning, and again in the code that reads the file."""
    probe = x_workstation.SERVICE["probe"]
    assert probe.default == Service("web", "nginx:1").probe
    assert x_workstation.SECRET["owner"].default == Secret("a", "/a").owner
    fields = {one.name: one for one in dataclasses.fields(Service)}
    for name, key in x_workstation.SERVICE.items():
        if isinstance(key, Key) and not key.default and name in fields:
            assert not fields[name].default or fields[name].default is dataclasses.MISSING, name


def test_a_stack_without_keys_in_env_has_no_table_of_them(
    monkeypatch: pytest.MonkeyPatch,
):
    """Such as one that declares its limits alone."""
    limits = Declared(type="limits", meaning="Limits.", default={})
    found = [("small", "limits", "", limits)]
    monkeypatch.setattr(documentation, "_of_stacks", lambda root: iter(found))
    tables = documentation.settings_tables(ROOT)
    assert "Hosts of the stack" not in tables["env"]
    assert "| `limits` | `small.py` | limits |" in tables["group_data"]


def test_a_pipe_stays_in_its_cell():
    assert documentation.table(("a", "b"), [("x|y", "z")]) == (
        "| a | b |\n| --- | --- |\n| x\\|y | z |\n"
    )


def test_an_example_keeps_its_keys_and_values():
    """Only comments are generated; a secret that is not in the file yet is added at the end."""
    made = documentation.example("# Head\n\n# old words\n#SSH_PORT=2222\nDOMAIN=a.example\n")
    lines = made.splitlines()
    assert lines[0] == "# Head"
    assert "old words" not in made
    assert lines.index("#SSH_PORT=2222") < lines.index("DOMAIN=a.example")
    assert "#REDIS_PASSWORD=" in lines
    assert lines[-1] == "#OPENWEBUI_PASSWORD="
    with pytest.raises(ValueError, match="DOMIAN: remove unknown keys"):
        documentation.example("DOMIAN=x\n")


def test_a_document_without_its_marks_is_refused(tmp_path: Path):
    (tmp_path / "page.md").write_text("before\n<!-- generated: a -->\nold\n")
    with pytest.raises(ValueError, match=r"page\.md lacks <!-- generated: a -->"):
        documentation._filled(tmp_path, "page.md", {"a": "new"})


def test_who_looks_without_writing_is_told_what_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """With status 1, which a check in a pipeline needs."""
    monkeypatch.setattr(documentation, "outdated", lambda: {"docs/settings.md": "new"})
    assert documentation.main([]) == 1
    assert capsys.readouterr().out == (
        f"docs/settings.md is out of date: run {documentation.COMMAND}\n"
    )


def test_the_list_of_documents_names_the_settings():
    assert "](docs/settings.md)" in (ROOT / "README.md").read_text()
