"""Things that belong to somebody else stop a run before its first change."""

from __future__ import annotations

import pytest

from tests.fixtures.operations.a_stack import FOLDER, STACK, container, state
from workstation.findings import failed
from workstation.mounts.fstab import Entry, FstabError, with_entry
from workstation.preflight.stacks import stranger_findings
from workstation.preflight.storage import fstab_findings

SHARE = "//nas/ki_Daten"
TARGET = "/mnt/ki_Daten"


@pytest.mark.parametrize("kind", ["ext4", "nfs", "nfs4", "smbfs", "fuse.sshfs", "autofs", "none"])
@pytest.mark.parametrize("source", [SHARE, "/dev/sdb1", "nas:/ki_Daten"])
def test_a_line_of_another_kind_for_the_folder_stops_the_run(kind: str, source: str):
    """The operation would refuse it in the middle of the run; this happens before."""
    text = f"{source} {TARGET} {kind} defaults 0 0\n"
    (problem,) = failed(fstab_findings(text, SHARE, TARGET))
    assert "line 1" in problem.detail
    with pytest.raises(FstabError):
        with_entry(text, Entry(SHARE, TARGET, "cifs", "x"))


@pytest.mark.parametrize("kind", ["cifs", "smb3"])
def test_another_share_on_the_folder_is_told_and_replaced(kind: str):
    """The operation does that, with a copy of the file."""
    text = f"//other/share {TARGET} {kind} guest 0 0\n"
    findings = list(fstab_findings(text, SHARE, TARGET))
    assert failed(findings) == []
    assert [one.note for one in findings] == [True]
    assert "will be replaced" in findings[0].detail
    assert "//other/share" not in with_entry(text, Entry(SHARE, TARGET, "cifs", "x"))


def test_somebody_elses_project_of_a_stacks_name_stops_the_run():
    """Compose would remove its containers as orphans."""
    theirs = state(containers=(container("db", folder="/home/anna/s"),))
    for found, problems in ((theirs, 1), (state(), 0)):
        findings = list(stranger_findings([(STACK.model, FOLDER, found)]))
        assert len(findings) == 1
        assert len(failed(findings)) == problems
