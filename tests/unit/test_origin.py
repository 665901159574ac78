"""Who ran which commit, for reports."""

from __future__ import annotations

import subprocess
from pathlib import Path

from workstation.report import origin


def test_the_origin_is_the_commit_of_this_repository(tmp_path: Path):
    """An enclosing repository, or no repository, does not provide a commit of ours."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True
        )

    git("init", "-q")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_text("a")
    assert origin.origin(tmp_path).commit == ""
    git("add", "-A")
    git("commit", "-qm", "first")
    clean = origin.origin(tmp_path)
    assert len(clean.commit) >= 7
    assert not clean.changed
    assert origin.origin(tmp_path / "inner").commit == ""
    (tmp_path / "new").touch()
    assert origin.origin(tmp_path).changed
