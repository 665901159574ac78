"""The programs that run on hosts: separate files, each of them used, none of them in a string."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workstation import scripts
from workstation.errors import UserError

ROOT = Path(__file__).parents[2]
MODULES = {path: ast.parse(path.read_text()) for path in (ROOT / "workstation").rglob("*.py")}
NAMES = sorted(
    path.relative_to(scripts.FILES).as_posix()
    for path in scripts.FILES.rglob("*")
    if path.suffix in (".sh", ".py")
)
SHELLS = {"script": "#!/bin/sh", "question": "#!/usr/bin/env bash"}
"""Function that runs a shell script on a host -> the script's first line."""


def read(name: str) -> str:
    return (scripts.FILES / name).read_text()


def included(name: str) -> set[str]:
    """Return the files that a file includes, directly or indirectly."""
    names = set(re.findall(r"^ *\. files/(\S+)$", read(name), re.MULTILINE))
    return names.union(*map(included, names))


def called(function: str) -> set[str]:
    """Return the files whose text is passed to a function of ``workstation.facts.shell``."""
    return {
        call.args[0].args[0].value
        for tree in MODULES.values()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == function and call.args
        if isinstance(call.args[0], ast.Call) and isinstance(call.args[0].args[0], ast.Constant)
    }


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string, and of added strings, without docstrings."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    text = literal(node)
    if text is None:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)
    else:
        yield getattr(node, "lineno", 0), text


def literal(node: Any) -> str | None:
    """Return the known part of a string's text, None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "x" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [literal(node.left), literal(node.right)]
        return None if sides == [None, None] else "\n".join(side or "" for side in sides)
    return None


def is_program(text: str) -> bool:
    """Return whether a text has more than three lines, and looks more like code than like prose."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 3 and not all(re.fullmatch(r"[\w\s.,:'/-]+", line) for line in lines)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of files."""
    monkeypatch.setattr(scripts, "FILES", tmp_path)
    scripts.text.cache_clear()
    yield tmp_path
    scripts.text.cache_clear()


def test_what_is_for_readers_and_linters_stays_here(files: Path):
    """The first comment and shellcheck's directives; other comments may be part of a text."""
    (files / "a.sh").write_text(
        "#!/bin/sh\n# Why.\n#\n# More of it.\n\n# shellcheck disable=SC2086 # several words\n"
        "echo $1\n# here\nif true; then\n  # shellcheck disable=SC2016 # for awk\n  cat <<E\n"
        "#!/bin/sh\n# text\n\nE\nfi\n"
    )
    assert scripts.text("a.sh") == (
        "echo $1\n# here\nif true; then\n  cat <<E\n#!/bin/sh\n# text\n\nE\nfi"
    )


def test_what_a_script_includes_stands_in_it(files: Path):
    """Its text, and the files that it includes in turn; files that are sourced on the host are not
    replaced."""
    (files / "b").mkdir()
    (files / "a.sh").write_text(
        "#!/bin/sh\n. files/b/b.sh\n\nif true; then\n  . files/b/c.sh\nfi\n. /etc/os-release\n"
    )
    (files / "b/b.sh").write_text("#!/bin/sh\n# It speaks.\n\n. files/b/c.sh\necho '\\1 \\n'\n")
    (files / "b/c.sh").write_text("#!/bin/sh\nc=1\n")
    assert scripts.text("a.sh").splitlines() == [
        *("c=1", "echo '\\1 \\n'", "", "if true; then", "c=1", "fi", ". /etc/os-release"),
    ]


def test_a_script_that_is_not_there_is_one_sentence(files: Path):
    """The checkout is incomplete; without a script, half of the work would be missing."""
    (files / "a.sh").write_text("#!/bin/sh\n. files/gone.sh\n")
    for name in ("gone.sh", "a.sh"):
        with pytest.raises(UserError, match=r"^\S+/gone\.sh cannot be read \(No such .*`git .*\.$"):
            scripts.text(name)


def test_no_program_is_in_a_string():
    """Linters would not see it; up to three lines are readable where they are used."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, tree in MODULES.items()
        for line, text in texts(tree)
        if is_program(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("run('''\nset -e\na=$1\nb=$2\nrm $a\n''')", True),
        ("A = f'''\nset -e\na={x}\nb=$2\nrm $a\n'''", True),
        ("A = x + 'a=$1\\nb=1\\n' + y + 'c=$2\\nrm $a\\n'", True),
        ("A = 'set -e\\na=$1\\nrm $a'", False),
        ("WORDS = '''\nCHOWN\nSYS_NICE\nNET_RAW x86-64\nKILL\n'''", False),
        ("def f():\n    '''Like this:\n\n    a=$1\n    b=$2\n    rm $a\n    '''", False),
        ("A = 1\n'''How:\na=$1\nb=$2\nrm $a\n'''", False),
    ],
)
def test_a_program_is_known_by_what_it_is_written_in(code: str, found: bool):
    assert any(is_program(text) for _, text in texts(ast.parse(code))) is found


def test_every_file_is_used_and_every_one_that_is_used_is_there():
    """By a module, or by a file that is used itself; use in tests does not count."""
    words = {
        node.value
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        if isinstance(node.value, str) and re.fullmatch(r"[\w/]+\.(sh|py)", node.value)
    }
    used = words & {*NAMES}
    assert used.union(*map(included, used)) == {*NAMES}
    assert {name for function in SHELLS for name in called(function)} <= used
    others = {path for path in scripts.FILES.rglob("*") if path.is_file()}
    others -= {path for path in others if path.suffix in (".sh", ".py", ".pyc")}
    assert others == {scripts.FILES / "locks.yml"}  # for ./provision lock


@pytest.mark.parametrize("function", SHELLS)
def test_a_script_is_checked_as_what_it_is_run_by(function: str):
    """shellcheck uses the first line, and ./provision test uses it to find the files."""
    names = called(function)
    assert len(names) > 20
    for name in names:
        assert read(name).startswith(f"{SHELLS[function]}\n"), name
    first = {read(name).partition("\n")[0] for name in NAMES}
    assert first == {*SHELLS.values(), "#!/usr/bin/env python3"}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_host_is_given_is_whole(name: str):
    """The shell can parse it, and an sh script contains no features of bash."""
    text = scripts.text(name)
    if name.endswith(".py"):
        compile(text, name, "exec")
        return
    assert ". files/" not in text
    posix = read(name).startswith(SHELLS["script"])
    assert not posix or all(read(one).startswith(SHELLS["script"]) for one in included(name))
    shell = "sh" if posix else "bash"
    done = subprocess.run([shell, "-n", "-c", text], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(called("question")))
def test_a_question_has_the_functions_that_it_calls(name: str):
    """Without files/shell/limited.sh, a hanging program would not be stopped, because the function
    would be missing."""
    text = scripts.text(name)
    for function in ("limited", "answered", "engine"):
        if re.search(rf"(^|[ ($|;!]){function} ", text, re.MULTILINE):
            assert f"\n{function}() {{\n" in text
    assert "$answers" not in text or "limited() {" in text
