"""The share's password is in its own file on the host, and nowhere else."""

from __future__ import annotations

from tests.lab.conftest import REPOSITORY, Workstation
from tests.lab.secret import FORMS, PATTERNS, TALKATIVE, seen, watch

CREDENTIALS = "/etc/ai-workstation/smb-ki_Daten.credentials"


def test_a_password_is_in_its_file_alone(converged: Workstation) -> None:
    """Not in any output, however verbose; not in processes, containers, journal or files."""
    watch(converged)
    for arguments in (
        ("tasks/preflight.py", "tasks/smb.py", "--dry", "--json", *TALKATIVE),
        ("tasks/smb.py", "--debug-operations", *TALKATIVE),
        ("debug-inventory",),
        ("debug-inventory", "--json"),
    ):
        run = converged.pyinfra(*arguments)
        assert run.status == 0, run.error
        assert "192.168.0.6" in run.output
        for form in FORMS:
            assert form not in run.output, arguments
    assert seen(converged) == ""

    places = "/boot /etc /home /opt /root /run /srv /tmp /usr /var /vol"
    found = converged.run(f"grep -rlsF -D skip -f {PATTERNS} {places} || true").split()
    assert set(found) == {CREDENTIALS, PATTERNS}
    assert converged.run(f"stat -c '%a %U' {CREDENTIALS}") == "600 root\n"
    assert converged.run(f"journalctl | grep -cF -f {PATTERNS} || true") == "0\n"
    inspected = f"docker ps -aq | xargs docker inspect | grep -cF -f {PATTERNS} || true"
    assert converged.run(inspected) == "0\n"

    kept = [path for path in (REPOSITORY / ".ai-workstation").rglob("*") if path.is_file()]
    for file in kept:
        assert FORMS[0] not in file.read_text(errors="replace"), file
