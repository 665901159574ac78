"""Imports go one way: from acting code to reading code, and from there to pure code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): ast.parse(path.read_text()) for path in ROOT.glob("workstation/**/*.py")}


def _imported(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield the modules that a module imports, and whether only for its types."""
    typed = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.name, node in typed) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                full = f"{node.module}.{one.name}"
                yield (full if full in MODULES else node.module), node in typed


IMPORTS = {name: set(_imported(tree)) for name, tree in MODULES.items()}

READS = ("facts", "context")
ACTS = ("operations", "hooks")
JUDGES = ("preflight", "acceptance", "docker", "nvidia", "links")
"""They judge what facts return, and so know its types; they run without pyinfra all the same."""


def _is_of(name: str, rooms: tuple[str, ...]) -> bool:
    return name.split(".")[1:2] != [] and name.split(".")[1] in rooms


PURE = sorted(name for name in MODULES if not _is_of(name, READS + ACTS))


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_asks_no_host_and_changes_none(name: str):
    """It can be tested in milliseconds. The judges only use the types of facts."""
    up = {
        imported
        for imported, for_types in IMPORTS[name]
        if _is_of(imported, READS + ACTS) and not (for_types and _is_of(name, JUDGES))
    }
    assert up == set()


WITH_PYINFRA = {"workstation.errors", "workstation.ssh"}
"""The first is one of pyinfra's own errors, so that it prints a sentence; the second says how hosts
are reached."""


@pytest.mark.parametrize("name", sorted({*PURE} - WITH_PYINFRA))
def test_what_is_pure_needs_no_pyinfra(name: str):
    used = {imported.partition(".")[0] for imported, _ in IMPORTS[name]}
    assert not used & {"pyinfra", "pyinfra_cli", "gevent"}


@pytest.mark.parametrize("name", sorted(one for one in MODULES if _is_of(one, READS)))
def test_what_reads_a_host_changes_nothing_on_it(name: str):
    """``context`` starts the run, through ``hooks``."""
    acts = {imported for imported, _ in IMPORTS[name] if _is_of(imported, ACTS)}
    assert acts <= ({"workstation.hooks"} if name == "workstation.context" else set())


def test_no_import_leads_back():
    """Not even for types: two modules that need each other should be one."""
    graph = {
        name: {imported for imported, _ in found if imported in MODULES} - {name}
        for name, found in IMPORTS.items()
    }
    while free := {name for name, found in graph.items() if not found & graph.keys()}:
        graph = {name: found for name, found in graph.items() if name not in free}
    assert graph == {}
