"""The programs that hosts run: files of their own, each of them used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workstation import scripts
from workstation.errors import UserError

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in scripts.FILES.rglob("*") if path.suffix in (".sh", ".py"))
NAMES = [path.relative_to(scripts.FILES).as_posix() for path in SCRIPTS]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of files."""
    monkeypatch.setattr(scripts, "FILES", tmp_path)
    scripts.text.cache_clear()
    yield tmp_path
    scripts.text.cache_clear()


def test_what_is_for_readers_and_linters_stays_here(files: Path):
    """The first comment and shellcheck's directives; another line may be of a text in it."""
    (files / "a.sh").write_text(
        "#!/bin/sh\n# Why.\n#\n# More of it.\n\n# shellcheck disable=SC2086 # several words\n"
        "echo $1\n# here\nif true; then\n  # shellcheck disable=SC2016 # for awk\n  cat <<E\n"
        "#!/bin/sh\n# text\n\nE\nfi\n"
    )
    assert scripts.text("a.sh") == (
        "echo $1\n# here\nif true; then\n  cat <<E\n#!/bin/sh\n# text\n\nE\nfi"
    )


def test_what_a_script_includes_stands_in_it(files: Path):
    """As it is, and what that includes; files of the host are read there."""
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
    """The checkout is not whole; a script that is left out would do half of something."""
    (files / "a.sh").write_text("#!/bin/sh\n. files/gone.sh\n")
    for name in ("gone.sh", "a.sh"):
        with pytest.raises(UserError, match=r"^\S+/gone\.sh cannot be read \(No such .*`git .*\.$"):
            scripts.text(name)
