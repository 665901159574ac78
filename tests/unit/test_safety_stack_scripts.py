"""The scripts of stacks: what they must not lose, and what they must not do after a failure."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import programs

FOLDER = Path(__file__).parents[2] / "templates/stacks"
KNOWLEDGE = FOLDER / "knowledge-center"
PASSWORD = "Geheim $'\"% ü"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# knowledge-center: backup and restore

# Runs commands for the container on this machine, with the container's folders below $INSIDE and
# its programs; redis-cli records its password and arguments.
DOCKER = r"""
echo "docker $*" | tr '\n' ' ' | sed 's/$/\n/' >>"$RECORD"
[ "$1" = compose ] || exit 9
shift
[ "$1" != -f ] || shift 2
verb=$1; shift
case $verb in
  stop) echo stopped >>"$RECORD"; exit ;;
  up) exit ;;
  exec|run)
    while [ $# != 0 ] && [ "$1" != redis ]; do shift; done
    shift
    [ "$verb" = exec ] || set -- sh "$@"
    shell=$1 options=$2 text=$3
    text=$(printf '%s' "$text" | sed "s#/data#$INSIDE/data#g; s#/run/secrets#$INSIDE/secrets#g;
      s#/tmp/said#$INSIDE/said#g")
    exec "$shell" "$options" "$text" ;;
esac
"""
REDIS_CLI = """
echo "redis-cli $* password=$REDISCLI_AUTH" >>"$RECORD"
case "$1" in
  --rdb) [ -z "$FAILS" ] || exit 1; printf 'whole' >"$2" ;;
  dbsize) echo 7 ;;
esac
"""
CHECK = """
echo "redis-check-rdb $*" >>"$RECORD"
grep -q whole "$1" || { echo "not an RDB file"; exit 1; }
"""


class Redis:
    """The stack's folder with its scripts, and a folder that plays the container."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "stack"
        self.folder.mkdir()
        for name in ("backup.sh", "restore.sh"):
            shutil.copy(KNOWLEDGE / name, self.folder)
        self.data = tmp_path / "inside/data"
        self.data.mkdir(parents=True)
        (tmp_path / "inside/secrets").mkdir()
        (tmp_path / "inside/secrets/redis_password").write_text(PASSWORD)
        self.record = tmp_path / "record"
        self.record.write_text("")
        self.bin = tmp_path / "bin"
        self.environment = {
            **programs(self.bin, docker=DOCKER, redis_cli=REDIS_CLI, redis_check_rdb=CHECK),
            "INSIDE": str(tmp_path / "inside"),
            "RECORD": str(self.record),
        }

    def run(
        self, script: str, *arguments: object, stands: dict[str, str] | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        programs(self.bin, **(stands or {}))
        return subprocess.run(
            ["bash", str(self.folder / script), *map(str, arguments)],
            env={**os.environ, **self.environment, **env},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            umask=0o022,
        )

    @property
    def said(self) -> list[str]:
        return self.record.read_text().splitlines()


@pytest.fixture
def redis(tmp_path: Path) -> Redis:
    return Redis(tmp_path)


def test_a_backup_is_whole_and_its_owners_alone(redis: Redis, tmp_path: Path):
    """It contains all jobs; nothing of it stays in the volume, and the password is not an
    argument."""
    file = tmp_path / "new/a b.rdb"
    done = redis.run("backup.sh", file)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == "whole"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert list(file.parent.iterdir()) == [file]
    assert list(redis.data.iterdir()) == []
    calls = [line for line in redis.said if line.startswith("redis-cli")]
    assert calls == [f"redis-cli --rdb {redis.data}/backup.rdb password={PASSWORD}"]
    assert "Geheim" not in "".join(line for line in redis.said if line.startswith("docker"))


BROKEN = {
    "Redis does not answer": {"FAILS": "1"},
    "what came is no backup": {"stands": {"redis_cli": 'printf half >"$2"'}},
    "the connection breaks off": {"stands": {"cat": 'head -c 2 "$1"; exit 1'}},
    "the disk is full": {"stands": {"sync": "exit 1"}},
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_backup_that_fails_leaves_the_one_before(redis: Redis, tmp_path: Path, how: str):
    """It keeps its name, and no partial file remains next to it."""
    file = tmp_path / "kept.rdb"
    file.write_text("before")
    done = redis.run("backup.sh", file, **BROKEN[how])  # type: ignore[arg-type]
    assert done.returncode != 0
    assert file.read_text() == "before"
    assert list(tmp_path.glob("kept*")) == [file]
    assert list(redis.data.iterdir()) == []


def test_a_backup_is_on_the_disk_before_it_has_its_name(redis: Redis, tmp_path: Path):
    """A power cut leaves no backup, but never an empty one."""
    record = 'echo "$(basename "$0") $*" >>"$RECORD"; exec "/bin/$(basename "$0")" "$@"'
    assert redis.run("backup.sh", tmp_path / "x", stands={"sync": record, "mv": record}).stdout
    moves = [line for line in redis.said if line.startswith(("sync", "mv"))]
    assert moves == [f"sync {tmp_path}/x.part", f"mv {tmp_path}/x.part {tmp_path}/x"]


def held(redis: Redis) -> None:
    """Store something in Redis."""
    (redis.data / "appendonlydir").mkdir()
    (redis.data / "appendonlydir/old").write_text("old")


def test_a_restore_keeps_what_redis_held_before(redis: Redis, tmp_path: Path):
    """The file is checked, then Redis is stopped, then the data is replaced, then Redis is
    started."""
    held(redis)
    (redis.data / "appendonlydir.before").mkdir()
    file = tmp_path / "kept.rdb"
    file.write_text("whole")
    done = redis.run("restore.sh", file)
    assert done.returncode == 0, done.stderr
    assert (redis.data / "appendonlydir.before/old").read_text() == "old"
    assert (redis.data / "appendonlydir/appendonly.aof.1.base.rdb").read_text() == "whole"
    manifest = (redis.data / "appendonlydir/appendonly.aof.manifest").read_text()
    assert manifest == "file appendonly.aof.1.base.rdb seq 1 type b\n"
    assert sorted(os.listdir(redis.data)) == ["appendonlydir", "appendonlydir.before"]
    verbs = [line.split()[0] for line in redis.said if not line.startswith("docker")]
    assert verbs == ["redis-check-rdb", "stopped", "redis-cli"]
    assert "restored, Redis holds 7 keys" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["absent.rdb"], ["a", "b"]])
def test_a_restore_without_a_file_asks_nobody(redis: Redis, arguments: list[str]):
    """A mistyped name does not count as an empty backup."""
    done = redis.run("restore.sh", *arguments)
    assert (done.returncode, redis.said) == (2, [])
    assert "usage: restore.sh FILE" in done.stderr


def test_a_file_that_is_no_backup_changes_nothing(redis: Redis, tmp_path: Path):
    """Redis keeps running."""
    held(redis)
    file = tmp_path / "wrong.rdb"
    file.write_text("<html>")
    done = redis.run("restore.sh", file)
    assert done.returncode == 1
    assert "is no whole backup, nothing was changed" in done.stderr
    assert "stopped" not in redis.said
    assert os.listdir(redis.data) == ["appendonlydir"]


@pytest.mark.parametrize("program", ["mkdir", "mv", "sync", "rm"])
def test_a_restore_that_fails_loses_nothing(redis: Redis, tmp_path: Path, program: str):
    """The script ends there: Redis' previous data is still there, and Redis is not started
    empty."""
    held(redis)
    file = tmp_path / "kept.rdb"
    file.write_text("whole")
    done = redis.run("restore.sh", file, stands={program: "exit 1"})
    assert done.returncode != 0
    assert (redis.data / "appendonlydir/old").read_text() == "old"
    assert not [line for line in redis.said if " up " in line]


def test_a_restore_is_on_the_disk_before_it_is_exchanged(redis: Redis, tmp_path: Path):
    """A power cut leaves the old or the new data."""
    held(redis)
    file = tmp_path / "kept.rdb"
    file.write_text("whole")
    note = (
        'name=$(basename "$0"); echo "$name $(basename "$1")" >>"$RECORD"; exec "/bin/$name" "$@"'
    )
    assert redis.run("restore.sh", file, stands={"sync": note, "mv": note}).returncode == 0
    moves = [line.strip() for line in redis.said if line.startswith(("sync", "mv"))]
    assert moves == ["mv restore.rdb", "sync", "mv appendonlydir", "mv appendonlydir.new"]


def test_redis_does_not_start_without_its_password(tmp_path: Path):
    """Otherwise it would use the password of an empty file."""
    text = (KNOWLEDGE / "redis/start.sh").read_text()
    text = re.sub("/(run/secrets|tmp)/", f"{tmp_path}/", text)
    environment = programs(tmp_path / "bin", redis_server="echo started")
    done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""


def test_redis_lets_nobody_in_without_the_password(tmp_path: Path):
    """Its access list has one user, with a password, in a file that only Redis can read."""
    text = (KNOWLEDGE / "redis/start.sh").read_text()
    text = re.sub("/(run/secrets|tmp)/", f"{tmp_path}/", text)
    (tmp_path / "redis_password").write_text(PASSWORD)
    environment = programs(tmp_path / "bin", redis_server='echo "$*"')
    done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True)
    assert f"--aclfile {tmp_path}/users.acl" in done.stdout
    (user,) = (tmp_path / "users.acl").read_text().splitlines()
    assert re.fullmatch(r"user default on #[0-9a-f]{64} ~\* &\* \+@all", user)
    assert mode(tmp_path / "users.acl") == 0o600


# dhoch3: the entrypoints of containers


def entrypoint(
    tmp_path: Path, service: str, **stands: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a service's entrypoint here, with folders below ``tmp_path``; return its calls."""
    text = (FOLDER / "dhoch3" / service / "entrypoint.sh").read_text()
    text = re.sub(r"(?<![\w.])/(data|models|outputs)\b", rf"{tmp_path}/\1", text)
    text = text.replace("/run/secrets/", f"{tmp_path}/secrets/")
    for name in ("data", "models", "outputs", "work/node_modules/.bin"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    record = 'echo "$(basename "$0") $*" >>"$RECORD"'
    names = ("npm", "python3", "export_artefacts")
    environment = programs(tmp_path / "bin", **{**dict.fromkeys(names, record), **stands})
    prisma = tmp_path / "work/node_modules/.bin/prisma"
    prisma.write_text(f"#!/bin/sh\n{stands.get('prisma', record)}\n")
    prisma.chmod(0o755)
    (tmp_path / "record").write_text("")
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=tmp_path / "work",
        env={**environment, "RECORD": str(tmp_path / "record")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done, (tmp_path / "record").read_text().splitlines()


def test_ai_toolkits_database_is_kept_and_brought_up_to_date(tmp_path: Path):
    """prisma itself refuses to lose data, unless it is told to accept that."""
    (tmp_path / "data").mkdir()
    database = tmp_path / "data/aitk_db.db"
    for content in (None, "jobs"):
        if content:
            database.write_text(content)
        done, called = entrypoint(tmp_path, "ai-toolkit")
        assert done.returncode == 0, done.stderr
        assert database.read_text() == (content or "")
        assert "prisma db push --skip-generate" in called
        assert "npm run start" in called


def test_ai_toolkit_does_not_start_on_a_database_that_is_not_up_to_date(tmp_path: Path):
    """It would write columns that the tables do not have."""
    done, called = entrypoint(tmp_path, "ai-toolkit", prisma="exit 1")
    assert done.returncode != 0
    assert "npm run start" not in called


def test_fluxgym_keeps_models_that_are_its_own(tmp_path: Path):
    """A file, and a link that somebody created, stay; a dangling link is replaced."""
    own = tmp_path / "data/models"
    for name in ("unet", "vae", "clip"):
        (own / name).mkdir(parents=True)
        (tmp_path / "models" / name).mkdir(parents=True)
    for path in ("unet/flux1-dev.sft", "vae/ae.sft", "clip/clip_l.safetensors"):
        (tmp_path / "models" / path).write_text("store")
    (own / "unet/flux1-dev.sft").write_text("own")
    (own / "elsewhere").write_text("elsewhere")
    (own / "vae/ae.sft").symlink_to(own / "elsewhere")
    (own / "clip/clip_l.safetensors").symlink_to("/nowhere/at/all")
    done, called = entrypoint(tmp_path, "fluxgym")
    assert done.returncode == 0, done.stderr
    assert "python3 app.py" in [line.strip() for line in called]
    assert (own / "unet/flux1-dev.sft").read_text() == "own"
    assert not (own / "unet/flux1-dev.sft").is_symlink()
    assert os.readlink(own / "vae/ae.sft") == str(own / "elsewhere")
    assert (own / "clip/clip_l.safetensors").read_text() == "store"


def test_fluxgym_does_not_start_without_its_folders(tmp_path: Path):
    """It would write into the container, and the data would be lost with it."""
    done, called = entrypoint(tmp_path, "fluxgym", mkdir="exit 1")
    assert done.returncode != 0
    assert "python3 app.py" not in [line.strip() for line in called]


def program(path: str) -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "dhoch3" / path))


def test_an_export_that_breaks_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Readers of the share never see half a file under its name."""
    export = program("base/export_artefacts.py")["export"]
    source, target = tmp_path / "from", tmp_path / "to"
    for folder, text in ((source, "new weights"), (target, "old")):
        folder.mkdir()
        (folder / "lora.safetensors").write_text(text)
    old = time.time() - 600
    os.utime(source / "lora.safetensors", (old, old))
    whole = shutil.copyfile
    written = []

    def broken(path: Path, place: Path) -> None:
        written.append(Path(place).name)
        Path(place).write_text("half")
        raise OSError("the server is gone")

    monkeypatch.setattr(shutil, "copyfile", broken)
    (line,) = export(source, target, time.time())
    assert "will be tried again" in line
    assert (target / "lora.safetensors").read_text() == "old"
    assert "lora.safetensors" not in written

    def noted(path: Path, place: Path) -> Any:
        written.append(Path(place).name)
        return whole(path, place)

    monkeypatch.setattr(shutil, "copyfile", noted)
    export(source, target, time.time())
    assert (target / "lora.safetensors").read_text() == "new weights"
    assert "lora.safetensors" not in written


def test_a_copy_of_another_size_is_no_copy(tmp_path: Path):
    """Even with the same time, which a server may report for a truncated file."""
    export = program("base/export_artefacts.py")["export"]
    old = time.time() - 600
    for name, text in (("from", "whole"), ("to", "ha")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text(text)
        os.utime(tmp_path / name / "a.png", (old, old))
    assert len(export(tmp_path / "from", tmp_path / "to", time.time())) == 1
    assert (tmp_path / "to/a.png").read_text() == "whole"


def test_hidden_files_are_not_exported_whatever_their_kind(tmp_path: Path):
    """Some .json files contain tokens; the same is true of files in hidden folders."""
    export = program("base/export_artefacts.py")["export"]
    old = time.time() - 600
    for name in (".token.json", ".cache/a.png", "a.png"):
        file = tmp_path / "from" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, (old, old))
    export(tmp_path / "from", tmp_path / "to", time.time())
    assert [path.name for path in (tmp_path / "to").rglob("*")] == ["a.png"]


def test_links_and_files_that_people_made_are_left_alone(tmp_path: Path):
    """Only a dangling link is removed."""
    link = program("base/link_models.py")["link"]
    store, own = tmp_path / "store", tmp_path / "own"
    for folder in (store, own, tmp_path / "mine"):
        folder.mkdir()
    (store / "a.pt").write_text("store")
    (own / "downloaded.pt").write_text("own")
    (tmp_path / "mine/b.pt").write_text("mine")
    (own / "b.pt").symlink_to(tmp_path / "mine/b.pt")
    (own / "gone.pt").symlink_to("/nowhere")
    before = (own / "b.pt").lstat().st_ino
    link(store, own)
    assert sorted(path.name for path in own.iterdir()) == ["a.pt", "b.pt", "downloaded.pt"]
    assert (own / "downloaded.pt").read_text() == "own"
    assert (os.readlink(own / "b.pt"), (own / "b.pt").lstat().st_ino) == (
        str(tmp_path / "mine/b.pt"),
        before,
    )


def test_fooocus_configuration_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is on disk before it gets its name; a program that has the old one open can read it to the
    end."""
    names = program("fooocus/entrypoint.py")
    config = tmp_path / "config.txt"
    config.write_text('{"a": 1}')
    names["write_config"].__globals__.update(CONFIG=config)
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(config.read_text()))
    with config.open() as reader:
        names["write_config"]({"b": 2})
        assert reader.read() == '{"a": 1}'
    assert flushed == ['{"a": 1}']
    assert "2" in config.read_text()


def test_ai_toolkits_password_is_given_to_the_program_alone(tmp_path: Path):
    """It reads it from a variable; without the secret, it has none."""
    note = 'echo "$(basename "$0") ${AI_TOOLKIT_AUTH-none}" >>"$RECORD"'
    for secret, expected in ((None, "none"), (PASSWORD, PASSWORD)):
        if secret:
            (tmp_path / "secrets").mkdir()
            (tmp_path / "secrets/ai_toolkit_auth").write_text(secret)
        done, called = entrypoint(tmp_path, "ai-toolkit", npm=note, export_artefacts=note)
        assert done.returncode == 0, done.stderr
        assert f"npm {expected}" in called
        assert "export-artefacts none" in called
        assert "Geheim" not in done.stdout + done.stderr
