"""Reads the Python files in ``group_data/`` as pyinfra does, with errors of one sentence.

pyinfra itself shows a traceback for each error, and ignores a file that belongs to no stack.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from workstation import given_file
from workstation.errors import UserError, nearest, shown
from workstation.pyinfra_keys import foreign_problem
from workstation.stack import data_key


class GroupDataError(UserError):
    """An invalid file in ``group_data/``; the message names the file and line."""

    id = "group-data-invalid"


def check(folder: Path, stacks: Iterable[str], secrets: Collection[str] = ()) -> None:
    """Raise GroupDataError for a file that is not Python or that no host would use, and for a name
    in it that is almost one of pyinfra's, that is a secret, or that has no effect there.

    + folder: ``group_data/``, or a single file
    + stacks: names of the stacks that exist
    + secrets: names of the settings that are secrets
    """
    known = ["all", *stacks]
    homes = {data_key(stack): stack for stack in stacks}
    for path in [folder] if folder.suffix == ".py" else sorted(folder.glob("*.py")):
        if path.stem not in known:
            raise GroupDataError(
                f"{path} belongs to no stack{nearest(path.stem, known)}, so no host uses it: give "
                "it the name of a folder in templates/stacks, or an extension other than .py.",
                id="group-data-unused",
            )
        _check_file(path, homes, secrets)


def _check_file(path: Path, homes: Mapping[str, str], secrets: Collection[str]) -> None:
    """Raise GroupDataError for an invalid file.

    + homes: name of each stack's data -> its stack
    """
    tree = _parsed(path)
    _refuse_duplicates(tree, path)
    names = _run(tree, path)
    for name, line in _assigned(tree):
        place = f"{path} line {line}"
        if problem := foreign_problem(name):
            raise GroupDataError(f"{place}: {problem}: correct or remove it.", id="setting-unknown")
        if homes.get(name, path.stem) != path.stem:
            raise GroupDataError(
                f"{place}: {name} has no effect here: set it in group_data/{homes[name]}.py.",
                id="group-data-unused",
            )
        if name in secrets and isinstance(names.get(name), str):
            raise GroupDataError(
                f"{place}: {name} is a secret: remove it there, and set {name.upper()} in .env or "
                "in the environment.",
                id="secret-in-group-data",
            )


def stack_data(root: Path, stack: str) -> dict[str, object]:
    """Return the data of a stack from ``group_data/<stack>.py`` in ``root``; empty if there is no
    such file.

    Raises GroupDataError.
    """
    path, key = root / "group_data" / f"{stack}.py", data_key(stack)
    if not given_file.is_there(path):
        return {}
    tree = _parsed(path)
    names = _run(tree, path)
    if key not in names:
        assigned = [name for name, _ in _assigned(tree)]
        raise GroupDataError(f"{path} does not set {key}{nearest(key, assigned)}: add it.")
    data = names[key]
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise GroupDataError(
            f'{key} in {path} is not a dictionary of names: expected {key} = {{"name": ...}}.'
        )
    return dict(data)


def settings_of(root: Path, stack: str) -> dict[str, object]:
    """Return the settings of a host that ``group_data/<stack>.py`` sets; empty if there is no such
    file. Raises GroupDataError."""
    path = root / "group_data" / f"{stack}.py"
    if not given_file.is_there(path):
        return {}
    tree = _parsed(path)
    names = _run(tree, path)
    assigned = {name for name, _ in _assigned(tree)} - {data_key(stack)}
    return {name: names[name] for name in assigned if name in names and name[0] != "_"}


def problem_of(error: BaseException, path: Path) -> str:
    """Return what went wrong in a Python file, with its line."""
    if isinstance(error, SyntaxError):
        return (
            f"{error.filename or path} line {error.lineno or 1} is not valid Python: {error.msg}."
        )
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path
    ]
    text = " ".join(str(error).split())[:300].rstrip(".")
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{path} line {lines[-1] if lines else 1} fails to run ({what}): correct it."


def _parsed(path: Path) -> ast.Module:
    text = given_file.text(path, GroupDataError)
    try:
        return ast.parse(text, str(path))
    except SyntaxError as error:
        raise GroupDataError(problem_of(error, path)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise GroupDataError(f"{path} is not valid Python: {reason}.") from None


def _refuse_duplicates(tree: ast.Module, path: Path) -> None:
    """Raise GroupDataError for a duplicate key in a dictionary: Python silently keeps the last."""
    for node in ast.walk(tree):
        seen: set[object] = set()
        for key in node.keys if isinstance(node, ast.Dict) else ():
            if isinstance(key, ast.Constant):
                if key.value in seen:
                    raise GroupDataError(
                        f"{path} line {key.lineno} has {shown(key.value)} twice in one dictionary: "
                        "keep one of the two.",
                        id="key-duplicate",
                    )
                seen.add(key.value)


def _run(tree: ast.Module, path: Path) -> dict[str, object]:
    """Return what a file sets. pyinfra runs it again, and would end if it called `exit()`."""
    names: dict[str, object] = {"__file__": str(path)}
    try:
        exec(compile(tree, str(path), "exec"), names)
    except (Exception, SystemExit) as error:
        raise GroupDataError(problem_of(error, path)) from None
    return names


def _assigned(tree: ast.Module) -> list[tuple[str, int]]:
    """Return the names that a file sets at its top level, with their lines."""
    found = []
    for statement in tree.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            found += [
                (node.id, node.lineno) for node in ast.walk(target) if isinstance(node, ast.Name)
            ]
    return found
