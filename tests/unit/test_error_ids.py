"""Every error and every problem of preflight has a stable id, which docs/errors.md explains."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_templates import ROOT

SOURCES = [*(ROOT / "workstation").rglob("*.py"), *(ROOT / "tasks").glob("*.py")]
PAGE = (ROOT / "docs/errors.md").read_text()
HEADINGS = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)

_PARENTS = {"UserError", "HostError"}
_OTHERS = {
    "ValueError",
    "OSError",
    "TypeError",
    "KeyError",
    "NotImplementedError",
    "AssertionError",
}


def _calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node


def _name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _id(node: ast.Call) -> str | None:
    for keyword in node.keywords:
        if keyword.arg == "id" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return None


def _own_ids() -> dict[str, str]:
    """Return the id that each class of errors defines for all of its errors."""
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for line in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "id":
                    assert isinstance(line.value, ast.Constant)
                    found[node.name] = str(line.value.value)
    return found


def _used() -> set[str]:
    ids = {one for path in SOURCES for node in _calls(path) if (one := _id(node))}
    return ids | {one for one in _own_ids().values() if one}


def test_every_id_is_explained_and_every_explanation_is_of_an_id():
    """In docs/errors.md, in alphabetical order."""
    assert sorted(_used() - set(HEADINGS)) == []
    assert sorted(set(HEADINGS) - _used()) == []
    assert sorted(HEADINGS) == HEADINGS


def test_ids_are_short_words():
    """In lower case, joined by hyphens, so that people can search for them."""
    assert [one for one in _used() if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,3}", one)] == []


def test_every_error_has_an_id():
    """It comes from its class, or is its own if the class has none."""
    owners, errors = _own_ids(), _of_users()
    without = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in _calls(path)
        if _name(node) in errors and not owners.get(_name(node)) and _id(node) is None
    ]
    assert without == []


def _of_users() -> set[str]:
    """Return the subclasses of UserError."""
    parents = {
        node.name: {getattr(base, "id", "") for base in node.bases}
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    found = set(_PARENTS)
    while more := {name for name, of in parents.items() if of & found} - found:
        found |= more
    return found


def test_every_problem_of_preflight_has_an_id():
    """These are what a user sees when nothing was changed."""
    without = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "workstation/preflight").glob("*.py")
        for node in _calls(path)
        if _name(node) == "Finding" and not _id(node)
    ]
    assert without == []
