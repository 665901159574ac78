"""The share's password is in its own file on the host, and nowhere else."""

from __future__ import annotations

import base64
from pathlib import Path

from lab.environment import content, write
from tests.lab.conftest import REPOSITORY, Workstation

# Found whatever quoting, escaping or JSON make of the rest.
CORE = "Zq7Marker"
PASSWORD = f"Löß $HOME \"a\" 'b',#1% {CORE} \\ %d"
FORMS = (
    CORE,
    *(base64.b64encode(b"x" * shift + CORE.encode())[4:-4].decode() for shift in (1, 2, 3)),
)
CREDENTIALS = "/etc/ai-workstation/smb-ki_Daten.credentials"

# The patterns come from a file: in the words of the command they would find themselves.
_SAMPLE = """
while :; do
  grep -lsF -f /root/forms /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> /root/seen
  sleep 0.2
done
"""


def test_a_password_is_in_its_file_alone(converged: Workstation, tmp_path: Path) -> None:
    """Not in any output, however talkative; not in processes, containers, journal or files."""
    converged.lab.nas.set_password(PASSWORD)
    values = content(
        converged.lab.folder,
        converged.lab.machine.port(22),
        converged.lab.user,
        converged.lab.mirror.file,
    )
    env_file = tmp_path / "env"
    write(env_file, {**values, "SMB_PASSWORD": PASSWORD})
    environment = {"ENV_FILE": str(env_file)}
    converged.send("\n".join(FORMS).encode() + b"\n", "/root/forms")
    converged.send(_SAMPLE.encode(), "/root/sample")
    converged.run("systemd-run --quiet --unit=sample sh /root/sample")

    talkative = ("-vvv", "--debug", "--diff")
    outputs = [
        converged.pyinfra(*arguments, environment=environment).output
        for arguments in (
            ("tasks/preflight.py", "tasks/smb.py", "--dry", "--json", *talkative),
            ("tasks/preflight.py", "tasks/smb.py", "-y", *talkative),
            ("tasks/smb.py", "--debug-operations", *talkative),
            ("tasks/ollama.py", "tasks/acceptance.py", "-y", *talkative),
            ("debug-inventory",),
            ("debug-inventory", "--json"),
        )
    ]
    assert "mounted on /mnt/ki_Daten" in outputs[1]
    for form in FORMS:
        assert not any(form in output for output in outputs)

    converged.run("systemctl stop sample; rm /root/sample")
    assert converged.run("sort -u /root/seen") == ""
    places = "/boot /etc /home /opt /root /run /srv /tmp /usr /var /vol"
    found = converged.run(f"grep -rlsF -D skip -f /root/forms {places} || true").split()
    assert set(found) == {CREDENTIALS, "/root/forms"}
    assert converged.run(f"stat -c '%a %U' {CREDENTIALS}") == "600 root\n"
    assert converged.run("journalctl | grep -cF -f /root/forms || true") == "0\n"
    inspected = "docker ps -aq | xargs docker inspect | grep -cF -f /root/forms || true"
    assert converged.run(inspected) == "0\n"

    kept = REPOSITORY / ".ai-workstation"
    for file in (path for path in kept.rglob("*") if path.is_file()):
        assert CORE not in file.read_text(errors="replace"), file
