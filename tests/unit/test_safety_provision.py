"""./provision: what it installs on the control machine, and that it stops at a failed step."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.harness import programs

ROOT = Path(__file__).parents[2]

# Creates an environment whose programs record their calls.
PYTHON = """
case "$*" in
  "-m venv "*)
    for folder; do :; done
    mkdir -p "$folder/bin"
    for name in python pip pyinfra ruff mypy pytest shellcheck; do
      cp "$STANDS/noted" "$folder/bin/$name"
    done ;;
  --version) echo "Python 3.13.0" ;;
esac
"""
NOTED = """
name=${0##*/}
echo "$name $*" >>"$RECORD"
case " $FAILS " in *" $name "*) exit 1 ;; esac
"""


class Control:
    """A control machine with Debian's tools, none of which has any effect."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "checkout"
        (self.folder / ".lab").mkdir(parents=True)
        self.systemd = tmp_path / "systemd"
        self.systemd.mkdir()
        self.ufw = tmp_path / "ufw.conf"
        for name, old, new in (
            ("provision", "", ""),
            ("lab/packages.sh", "/run/systemd/system", str(self.systemd)),
            ("tests/run.sh", "/etc/ufw/ufw.conf", str(self.ufw)),
        ):
            text = (ROOT / name).read_text()
            assert old in text
            script = self.folder / name
            script.parent.mkdir(exist_ok=True)
            script.write_text(text.replace(old, new) if old else text)
            script.chmod(0o755)
        for name in ("requirements.lock", "requirements-dev.lock"):
            (self.folder / name).write_text(f"# {name}\n")
        self.record = tmp_path / "record"
        self.record.write_text("")
        names = ("apt_get", "systemctl", "python", "pyinfra")
        self.environment = {
            **programs(
                tmp_path / "stands",
                **{**dict.fromkeys(names, NOTED), "noted": NOTED, "python3": PYTHON},
                id='[ "$1" = -u ] && echo 0',
                dpkg_query="exit 1",
            ),
            "STANDS": str(tmp_path / "stands"),
            "RECORD": str(self.record),
        }

    def run(self, *arguments: str, fails: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "provision", *arguments],
            env={**self.environment, "FAILS": fails},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )

    def called(self, name: str) -> list[str]:
        lines = self.record.read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{name} ")]


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def test_only_what_the_lock_has_a_hash_of_is_installed(control: Control):
    """Otherwise any file from an index would run on this machine, and with its keys on the
    other."""
    done = control.run("--dry")
    assert done.returncode == 0, done.stderr
    (install,) = control.called("pip")
    assert install.startswith("install ")
    assert install.endswith("--require-hashes -r requirements.lock")
    assert control.called("pyinfra") == ["inventory.py deploy.py --dry"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("labs", "there is no ./provision labs"),
        ("tasks/ollama.py", "run `pyinfra inventory.py tasks/ollama.py`"),
    ],
)
def test_a_word_that_it_does_not_know_runs_nothing(control: Control, word: str, said: str):
    """pyinfra would take it for the name of an operation, and deploy.py for another's."""
    done = control.run(word)
    assert done.returncode == 1
    assert said in done.stderr
    assert control.called("pyinfra") == control.called("pip") == []


def test_the_locks_have_a_hash_of_everything():
    """pip rejects a lock without one; this test says so earlier."""
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-bench.lock"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip() and line[0] not in "# "]
        assert len(lines) > 5
        for line in lines:
            assert "==" in line, line
            assert "--hash=sha256:" in line, line


@pytest.mark.parametrize("fails", ["pip", "pyinfra"])
def test_a_run_does_not_go_on_without_its_environment(control: Control, fails: str):
    """The exit status is that of the failed step; the next run creates the environment again."""
    done = control.run("-y", fails=fails)
    assert done.returncode != 0
    assert bool(control.called("pyinfra")) is (fails == "pyinfra")
    assert control.run("-y").returncode == 0
    assert len(control.called("pip")) == (2 if fails == "pip" else 1)


@pytest.mark.parametrize("fails", ["ruff", "mypy", "shellcheck"])
def test_the_first_check_that_fails_ends_the_tests(control: Control, fails: str):
    """It is not masked by later checks that pass."""
    done = control.run("test", fails=fails)
    assert done.returncode != 0
    assert control.called(fails)
    assert control.called("pytest") == []
    assert control.called("apt-get") == []


def test_samba_of_the_lab_is_never_started_as_a_service(control: Control):
    """Debian starts services that it installs: this would be a file server, open to the LAN.
    Samba's recommended packages are not installed either."""
    done = control.run("lab", "up")
    assert done.returncode == 0, done.stderr
    lines = [line for line in control.record.read_text().splitlines() if "pip" not in line]
    services = "smbd.service nmbd.service samba-ad-dc.service"
    install = next(line for line in lines if " install " in line and "samba" in line)
    assert lines.index(f"systemctl --quiet --runtime mask {services}") < lines.index(install)
    after = lines[lines.index(install) + 1 :]
    assert after[:2] == [
        f"systemctl --quiet disable {services}",
        f"systemctl --quiet --runtime unmask {services}",
    ]
    assert control.called("python") == ["-m lab up"]


@pytest.mark.parametrize("left", ["ENABLED=yes\n", 'LOGLEVEL=low\nENABLED="yes"\n'])
def test_no_firewall_is_switched_on_by_the_tests(control: Control, left: str):
    """ufw is installed disabled, unless an enabled one was removed before; firewalld's package
    starts it."""
    control.ufw.write_text(left)
    done = control.run("test")
    assert done.returncode != 0
    assert "which the tests need, would be enabled right away" in done.stderr
    assert control.called("apt-get") == []
    control.ufw.write_text("# ENABLED=yes\nENABLED=no\n")
    control.run("test")
    (install,) = [line for line in control.called("apt-get") if " ufw " in f"{line} "]
    assert "firewalld" not in install


def test_no_package_brings_others_that_nobody_asked_for(control: Control):
    """They do not ask questions either."""
    control.run("lab", "up")
    installs = [line for line in control.called("apt-get") if " install " in f" {line} "]
    assert installs
    for line in installs:
        assert "install -y --no-install-recommends " in line
    assert "DEBIAN_FRONTEND=noninteractive" in (ROOT / "lab/packages.sh").read_text()


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        (".env", True),
        (".env.gpu2", True),
        (".ai-workstation/gpu1/acceptance.html", True),
        (".lab/test/secrets", True),
        ("pyinfra-debug.log", True),
        (".env.example", False),
        ("group_data/all.py", False),
    ],
)
def test_what_holds_passwords_or_tells_of_machines_is_never_committed(
    tmp_path: Path, path: str, ignored: bool
):
    """`git add .` ignores these files."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    done = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=tmp_path)
    assert (done.returncode == 0) is ignored
