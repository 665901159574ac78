"""A run from its plan to its end: interference by others, and the protection of secrets."""

from __future__ import annotations

import getpass
import grp
import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from pyinfra import __version__

from workstation import lock, run, ssh
from workstation.facts.asking import ask
from workstation.facts.machine import Machine

ROOT = Path(__file__).parents[2]
PASSWORD = "Geheim-marker"
OWN = {"user": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}

DEPLOY = """
from workstation.operations import files
from workstation.operations.files import File

own = {own!r}
files.present(name="There", entries=[File({there!r}, b"ours\\n", **own)])
files.present(name="New", entries=[File({new!r}, b"ours\\n", **own)])
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pyinfra", "@local", *map(str, arguments)]


def pyinfra(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


class Asked:
    """A run that waits at a terminal for an answer to its question."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        self._run = subprocess.Popen(
            command(*arguments), cwd=ROOT, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
        )
        os.close(theirs)
        assert self._run.stderr is not None
        self.shown = b""
        while b"Press enter to execute" not in self.shown:
            read = self._run.stderr.read(1)
            assert read, self.shown.decode()
            self.shown += read

    def answer(self, text: str = "\n") -> tuple[int, str]:
        """Answer; return the exit status and the output."""
        os.write(self._ours, text.encode())
        assert self._run.stderr is not None
        self.shown += self._run.stderr.read()
        status = self._run.wait(60)
        os.close(self._ours)
        return status, self.shown.decode()


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A deploy of two files, one of which is already right."""
    (tmp_path / "there").write_text("ours\n")
    path = tmp_path / "deploy.py"
    names = {name: str(tmp_path / name) for name in ("there", "new")}
    path.write_text(DEPLOY.format(own=OWN, **names))
    return path


class LocalConnector:
    """It has the same name as pyinfra's, by which the lock knows how to reach the host."""


@pytest.fixture
def held() -> Iterator[None]:
    """Another run is in progress on this machine."""
    host = SimpleNamespace(name="@local", connector=LocalConnector())
    with lock.held([host], "anna@desk since 12:00"):
        yield


def test_what_changed_while_the_plan_was_read_is_seen(deploy: Path):
    """Cached answers are discarded after the question, because reading may take hours. Changes
    outside the plan are reported."""
    asked = Asked(deploy)
    (deploy.parent / "there").write_text("somebody was here\n")
    status, shown = asked.answer()
    assert status == 0, shown
    assert (deploy.parent / "there").read_text() == "ours\n"
    assert "not in the plan" in shown


def test_nothing_is_changed_while_another_run_is_at_work(deploy: Path, held: None):
    """The error says whose run it is; with -y, this comes before the plan, because the machine is
    changing."""
    done = pyinfra(deploy, "-y")
    assert done.returncode == 1
    assert "Another run is changing @local: anna@desk since 12:00" in done.stderr
    assert "will change something" not in done.stderr
    assert not (deploy.parent / "new").exists()


def test_whoever_read_a_plan_for_long_waits_for_another_run_too(deploy: Path):
    """The lock is taken after the question."""
    asked = Asked(deploy)
    host = SimpleNamespace(name="@local", connector=LocalConnector())
    with lock.held([host], "ben@desk"):
        status, shown = asked.answer()
    assert status == 1
    assert "Another run is changing @local: ben@desk" in shown
    assert not (deploy.parent / "new").exists()


@pytest.mark.parametrize("option", ["--dry", "--debug-operations"])
def test_looking_needs_no_lock(deploy: Path, held: None, option: str):
    """A plan can be shown while another run is in progress."""
    done = pyinfra(deploy, "-y", option)
    assert done.returncode == 0, done.stderr
    assert not (deploy.parent / "new").exists()


def test_a_run_that_has_ended_keeps_nobody_away(deploy: Path):
    """Neither one that changed something nor one that failed."""
    assert pyinfra(deploy, "-y").returncode == 0
    deploy.write_text("1 / 0")
    assert pyinfra(deploy, "-y").returncode == 1
    host = SimpleNamespace(name="@local", connector=LocalConnector())
    with lock.held([host], "anna"):
        pass


def test_what_one_step_has_done_is_seen_by_the_next(deploy: Path):
    """A file that two of them write is written once."""
    text = deploy.read_text()
    deploy.write_text(f"{text}\n{text.splitlines()[-1].replace('New', 'Again')}\n")
    report = json.loads(pyinfra(deploy, "-y", "--json").stdout)
    done = [one["changes"]["@local"] for one in report["results"]["operations"]]
    assert [len(changes) for changes in done] == [0, 1, 0]
    assert [len(one["changes"]["@local"]) for one in report["plan"]] == [0, 1, 1]


SECRET = """
from workstation.operations import files
from workstation.operations.files import File

files.present(
    name="Secret",
    entries=[File({path!r}, b"password={password}", mode="600", secret=True, **{own!r})],
)
"""


@pytest.mark.parametrize(
    "options",
    [
        ("--dry", "--diff", "-vvv"),
        ("-y", "--diff", "-vvv", "--debug"),
        ("-y", "--debug-operations"),
        ("-y", "--debug-facts"),
        ("-y", "--json", "--diff"),
    ],
    ids=" ".join,
)
def test_no_option_of_pyinfra_shows_a_secret(tmp_path: Path, options: tuple[str, ...]):
    """Neither the new nor the existing one, in the plan, in the results, or in between."""
    secret = tmp_path / "secret"
    secret.write_text("password=Geheim-old")
    deploy = tmp_path / "deploy.py"
    deploy.write_text(SECRET.format(path=str(secret), password=PASSWORD, own=OWN))
    done = pyinfra(deploy, *options)
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert str(secret) in shown or "--debug-facts" in options
    assert "Geheim" not in shown
    if not {"--dry", "--debug-operations", "--debug-facts"} & set(options):
        assert PASSWORD in secret.read_text()


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_facts_can_be_asked_for_by_hand(form: tuple[str, ...]):
    """`pyinfra HOST fact NAME` helps to look for an error."""
    done = pyinfra(*form, "fact", "workstation.facts.machine.Machine")
    assert done.returncode == 0, done.stderr
    assert os.uname().release in done.stdout + done.stderr
    if form:
        (hosts,) = json.loads(done.stdout).values()
        (found,) = hosts.values()
        assert found["kernel"] == os.uname().release
        assert isinstance(found["listeners"], list)


# Names in the host's folders, which others may choose

NAMES = (
    b"\x1b]0;owned\x07\x1b[2K\r192.0.2.1: nothing to change",
    b"\xff\xfe",
    b"\xc2\x9b31m",
    b"a\n  - forged",
    os.fsencode("gpj.\u202eexe\u2028\u200b"),
)
"""As many as a plan names."""

HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\udc80-\udcff]")
COLORS = re.compile("\x1b\\[[0-9;]*m")

NAMED = """
from pyinfra.operations import server
from workstation.operations import files

files.shared_tree(name="Store", path={store!r}, group={group!r})
server.shell(name="Log", commands=["ls -d --show-control-chars {store}/*"])
server.shell(name="Error", commands=["ls -d --show-control-chars {store}/* >&2; exit 1"])
"""


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A deploy for a folder whose files have such names, and are to be shared."""
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(0o2775)
    for name in NAMES:
        path = os.fsencode(store) + b"/" + name
        os.close(os.open(path, os.O_CREAT, 0o600))
    deploy = tmp_path / "deploy.py"
    deploy.write_text(NAMED.format(store=str(store), group=OWN["group"]))
    return deploy


@pytest.mark.parametrize(
    "options", [("--dry",), ("--dry", "--json"), ("-vvv",), ("--json",)], ids=" ".join
)
def test_a_name_says_only_what_it_seems_to_say(named: Path, options: tuple[str, ...]):
    """In the plan, while commands run, in errors and for programs: no codes reach the terminal, and
    a line break begins no line."""
    done = subprocess.run(
        command(named, "-y", *options), cwd=ROOT, capture_output=True, timeout=100
    )
    shown = (done.stdout + done.stderr).decode(errors="surrogateescape")
    shown = COLORS.sub("", shown.replace("\r\n", "\n"))
    # The plan may break the line within the name.
    assert "owned" in re.sub(r"\n +", "", shown)
    assert not HOSTILE.search(shown), HOSTILE.search(shown)
    assert not [line for line in shown.splitlines() if line.startswith("  - forged")]
    if "--dry" in options and "--json" in options:
        json.loads(done.stdout)


# One by one


def test_a_question_has_an_end_even_where_the_connection_is_dead():
    """pyinfra itself would wait forever; callers can set a limit."""
    given: list[dict[str, Any]] = []
    host = SimpleNamespace(name="gpu1", get_fact=lambda _, **arguments: given.append(arguments))
    ask(host, Machine)
    run.fresh()
    ask(host, Machine, _timeout=5)
    assert 300 < given[0]["_timeout"] <= 7200
    assert given[1]["_timeout"] == 5


def test_known_hosts_are_their_owners_alone(tmp_path: Path):
    """Anyone who can write there decides which machines are trusted; the umask does not matter."""
    before = os.umask(0)
    try:
        ssh.ensure_known_hosts(tmp_path / "ssh/known_hosts")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "ssh").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ssh/known_hosts").stat().st_mode) == 0o600


def test_the_version_of_pyinfra_is_one_that_was_tried():
    """Another version may behave differently where we replace functions, and change hosts without a
    question."""
    text = """
import runpy
from pyinfra.api import Config
from pyinfra.context import ctx_config
ctx_config.set(Config())
runpy.run_path("config.py")
print(ctx_config.get().REQUIRE_PYINFRA_VERSION)
"""
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True
    )
    allowed = SpecifierSet(done.stdout.strip())
    assert __version__ in allowed
    assert "3.9" not in allowed
    assert "4.0" not in allowed
