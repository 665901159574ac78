"""Bad input of every kind: one clear sentence, an exit status that says so, no change."""

from __future__ import annotations

import base64
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import Workstation
from tests.unit import compose_corpus
from tests.unit.test_templates import data, render
from tests.unit.wrong_outcomes import dump
from workstation import lock


def test_a_missing_env_file(untouched: Workstation, checkout: Callable[[], Path]) -> None:
    """Without .env and environment, the run says how to create one."""
    run = untouched.pyinfra("deploy.py", "-y", folder=checkout(), environment={"ENV_FILE": ""})
    assert run.status != 0
    assert "cp .env.example .env" in run.error


def test_a_missing_password(bare: Workstation) -> None:
    """A missing secret is named, with the place to set it, before anything is changed."""
    before = bare.files()
    run = bare.pyinfra("deploy.py", "-y", environment=bare.environment_without("SMB_PASSWORD"))
    assert run.status != 0
    assert "SMB_PASSWORD is not set: add it to .env" in run.error
    assert bare.files() == before


def test_what_is_misspelt_deep_in_a_compose_file(
    bare: Workstation, checkout: Callable[[], Path]
) -> None:
    """It is rejected with its line and the closest name, before Docker is installed."""
    before = bare.files()
    folder = checkout()
    file = folder / "templates/stacks/dhoch3/compose.yaml.j2"
    for right, wrong in (
        ("nofile: {soft:", "nofile: {sfot:"),
        ("restart: unless-stopped", "restart: unless-stoped"),
    ):
        text = file.read_text()
        file.write_text(text.replace(right, wrong, 1))
        run = bare.pyinfra("deploy.py", "-y", folder=folder)
        file.write_text(text)
        assert run.status != 0
        line = text[: text.index(right)].count("\n") + 1
        assert f"templates/stacks/dhoch3/compose.yaml.j2 line {line}: services." in run.error
        assert "(did you mean " in run.error
    assert bare.files() == before


def test_an_unknown_key(untouched: Workstation, tmp_path: Path) -> None:
    """An unknown key is rejected with the closest valid name."""
    file = tmp_path / "env"
    file.write_text(untouched.lab.env_file.read_text() + "MODELS_PAHT=/vol\n")
    run = untouched.pyinfra("deploy.py", "-y", environment={"ENV_FILE": str(file)})
    assert run.status != 0
    assert "MODELS_PAHT" in run.error
    assert "MODELS_PATH" in run.error


def test_an_unreachable_host(untouched: Workstation) -> None:
    """An unreachable host results in one sentence."""
    run = untouched.pyinfra(
        "deploy.py", "-y", environment={"WORKSTATION_HOST": "127.0.0.1", "SSH_PORT": "1"}
    )
    assert run.status != 0
    assert "Could not connect" in run.output
    assert "Traceback" not in run.output


def test_a_wrong_ssh_key(untouched: Workstation, tmp_path: Path) -> None:
    """A key that the host does not accept results in one sentence."""
    key = tmp_path / "key"
    os.system(f"ssh-keygen -q -t ed25519 -N '' -f {key}")
    run = untouched.pyinfra("deploy.py", "-y", environment={"SSH_KEY": str(key)})
    assert run.status != 0
    assert "Authentication error" in run.output
    assert "Traceback" not in run.output


def test_a_limit_that_matches_nothing(untouched: Workstation) -> None:
    """Zero hosts are an error."""
    run = untouched.pyinfra("deploy.py", "-y", "--limit", "nobody")
    assert run.status != 0
    assert "leaves no host" in run.output or "No host" in run.output


def test_an_unreadable_pins_file(untouched: Workstation, checkout: Callable[[], Path]) -> None:
    """A pins.yml that is not YAML is named with its line."""
    copy = checkout()
    (copy / "pins.yml").write_text("images:\n  comfyui: {name: [\n")
    run = untouched.pyinfra("deploy.py", "-y", folder=copy)
    assert run.status != 0
    assert "pins.yml" in run.error
    assert "Traceback" not in run.output


def test_a_missing_template(bare: Workstation, checkout: Callable[[], Path]) -> None:
    """Even with -y, it stops the run before the first operation, whichever task needs it."""
    copy = checkout()
    (copy / "templates" / "ollama" / "ollama-docker.socket.j2").unlink()
    run = bare.pyinfra("deploy.py", "-y", folder=copy)
    assert run.status != 0
    assert "templates/ollama/ollama-docker.socket.j2 is missing" in run.error
    assert "Beginning operation run" not in run.output
    assert "Traceback" not in run.output


def test_a_plan_that_nobody_can_confirm(bare: Workstation) -> None:
    """Without -y and without a terminal, the plan is shown, and nothing is changed."""
    folder = "/vol/service/cw/storage-models/models/loras"
    bare.run(f"mkdir -p {folder} && chmod 700 {folder}")
    run = bare.pyinfra("tasks/storage.py")
    assert run.status != 0
    assert "(mode 700 -> 2775" in run.output
    assert "run again with -y" in run.error
    assert "Traceback" not in run.output
    assert bare.run(f"stat -c %a {folder}") == "700\n"


def test_a_wrong_password_for_the_share(bare: Workstation) -> None:
    """The server's own answer is shown, and a bare machine stays bare."""
    before = bare.files()
    run = bare.pyinfra("tasks/smb.py", "-y", environment={"SMB_PASSWORD": "wrong"})
    assert run.status != 0
    assert "STATUS_LOGON_FAILURE" in run.output
    assert "SMB_PASSWORD" in run.output
    assert "Traceback" not in run.output
    assert bare.files() == before


def test_all_that_stands_against_a_run_is_told_at_once(bare: Workstation) -> None:
    """A wrong password, a foreign web server, a broken daemon.json: each comes with its fix, and
    nothing is changed."""
    bare.run(
        "systemd-run --quiet --unit=theirs python3 -m http.server 80;"
        "mkdir -p /etc/docker && echo '{not json' > /etc/docker/daemon.json"
    )
    before = bare.files()
    run = bare.pyinfra("deploy.py", "-y", environment={"SMB_PASSWORD": "wrong"})
    assert run.status != 0
    assert "STATUS_LOGON_FAILURE" in run.output
    assert "SMB_PASSWORD" in run.output
    assert "port 80: it is held by python3" in run.output
    assert "PROXY=existing" in run.output
    assert "daemon.json: our settings cannot be merged into it: it is not JSON" in run.output
    assert "Traceback" not in run.output
    assert bare.files() == before


@pytest.mark.long
def test_a_bad_archive_of_ollama(bare: Workstation) -> None:
    """A damaged archive is refused before anything is replaced; the next run converges."""
    for fault, said in (
        ('{"tamper": true}', "has the sha256"),
        ('{"truncate": 1000}', "cannot be downloaded"),
    ):
        bare.faults(f'{{"/github.com/ollama/": {fault}}}')
        run = bare.pyinfra("tasks/ollama.py", "-y")
        assert run.status != 0
        assert said in run.output
        assert not bare.succeeds("test -e /usr/local/bin/ollama")
        assert bare.run("ls -A /opt/ollama") == ""
    bare.faults("{}")
    assert bare.pyinfra("tasks/ollama.py", "-y").status == 0
    assert bare.succeeds("curl -sf http://127.0.0.1:11434/api/version")


@pytest.mark.long
def test_a_tampered_package(bare: Workstation) -> None:
    """apt rejects a package that differs from the signed index; it is not installed."""
    bare.faults('{"/nvidia.github.io/libnvidia-container/stable/deb/amd64/lib": {"tamper": true}}')
    run = bare.pyinfra("tasks/nvidia.py", "-y")
    assert run.status != 0
    assert "Hash Sum mismatch" in run.output or "unexpected size" in run.output
    assert not bare.succeeds("dpkg -s libnvidia-container1")


# An unrelated source whose suite has disappeared from the mirror.
_GONE = "deb http://192.168.0.5/gone noble main"


@pytest.mark.long
def test_an_apt_source_of_somebody_else_that_is_broken(bare: Workstation) -> None:
    """It is named with its file and apt's message, and the needed packages are installed."""
    bare.run(f"echo '{_GONE}' > /etc/apt/sources.list.d/theirs.list")
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status == 0, run.error
    assert "note: the apt source http://192.168.0.5/gone noble" in run.output
    assert "/etc/apt/sources.list.d/theirs.list:1" in run.output
    assert "does not have a Release file" in run.output
    assert bare.succeeds("docker info")
    assert bare.run("cat /etc/apt/sources.list.d/theirs.list").strip() == _GONE
    assert bare.pyinfra("tasks/docker.py", "-y").changed == []


def test_a_file_that_apt_cannot_read_stops_the_run_before_it_begins(bare: Workstation) -> None:
    """apt rejects all of its sources then; the error names file and line."""
    bare.run("echo 'deb http://192.168.0.5/gone' > /etc/apt/sources.list.d/theirs.list")
    before = bare.files()
    run = bare.pyinfra("deploy.py", "-y")
    assert run.status != 0
    assert "Malformed entry 1 in list file /etc/apt/sources.list.d/theirs.list" in run.output
    assert bare.files() == before


@pytest.mark.long
def test_nvidias_repository_as_somebody_has_configured_it_is_used(bare: Workstation) -> None:
    """It has its own file and keyring, but the same key; apt would reject a second keyring."""
    toolkit = "http://192.168.0.5/nvidia.github.io/libnvidia-container"
    entry = f"deb [signed-by=/etc/apt/keyrings/nvidia.gpg] {toolkit}/stable/deb/$(ARCH) /"
    bare.run(
        f"mkdir -p /etc/apt/keyrings; curl -fsS {toolkit}/gpgkey | gpg --dearmor"
        f" > /etc/apt/keyrings/nvidia.gpg; echo '{entry}' >> /etc/apt/sources.list"
    )
    assert bare.pyinfra("tasks/docker.py", "-y").status == 0
    run = bare.pyinfra("tasks/nvidia.py", "-y")
    assert run.status == 0, run.error
    assert "/etc/apt/sources.list:" in run.output
    assert not bare.succeeds("ls /etc/apt/sources.list.d/nvidia-container-toolkit.sources")
    assert entry in bare.run("cat /etc/apt/sources.list")
    assert bare.succeeds("apt-get update")
    assert bare.pyinfra("tasks/nvidia.py", "-y").changed == []


def test_an_ollama_of_somebodys_own_stops_the_run(bare: Workstation) -> None:
    """A drop-in starts it: it is named before anything is changed, and keeps running."""
    bare.run(
        "mkdir -p /etc/systemd/system/ollama.service.d /home/anna;"
        "printf '#!/bin/sh\\nexec sleep 1000000\\n' > /home/anna/ollama;"
        "chmod 755 /home/anna/ollama;"
        "printf '[Service]\\nExecStart=/usr/local/bin/ollama serve\\n'"
        " > /etc/systemd/system/ollama.service;"
        "printf '[Service]\\nExecStart=\\nExecStart=/home/anna/ollama serve\\n'"
        " > /etc/systemd/system/ollama.service.d/override.conf;"
        "systemctl daemon-reload; systemctl start ollama"
    )
    before = bare.files()
    run = bare.pyinfra("deploy.py", "-y")
    assert run.status != 0
    override = "/etc/systemd/system/ollama.service.d/override.conf"
    seen = f"{override} makes it start /home/anna/ollama instead of the pinned"
    assert f"ollama.service: ExecStart: {seen}" in run.output
    assert bare.files() == before
    assert bare.succeeds("systemctl is-active ollama")


def test_a_repository_signed_by_somebody_else(
    bare: Workstation, checkout: Callable[[], Path]
) -> None:
    """A key whose fingerprint is not the pinned one is not trusted."""
    copy = checkout()
    mirror = copy / "mirror.yml"
    text = bare.lab.mirror.file.read_text()
    fingerprint = next(line for line in text.splitlines() if "fingerprint" in line).split()[-1]
    mirror.write_text(text.replace(fingerprint, "A" * 40))
    run = bare.pyinfra("tasks/nvidia.py", "-y", folder=copy, environment={"MIRROR": str(mirror)})
    assert run.status != 0
    assert "has the fingerprint" in run.output
    assert not bare.succeeds("ls /usr/share/keyrings/nvidia-container-toolkit.gpg")


def test_a_run_while_another_is_at_work(bare: Workstation) -> None:
    """It is refused with the other run's owner, and changes nothing; the lock ends with its
    holder."""
    holder = shlex.join(lock._command("anna@desk"))
    bare.run(
        "mkfifo /run/words; sleep 600 </dev/null 2>/dev/null >/run/words & "
        f"nohup {holder} "
        "</run/words >/run/answer 2>&1 & until grep -q held /run/answer; do sleep 0.2; done"
    )
    run = bare.pyinfra("tasks/storage.py", "-y")
    assert run.status != 0
    assert "Another run is changing 127.0.0.1: anna@desk. Wait until it ends" in run.output
    assert not bare.succeeds("test -e /vol")
    bare.run("pkill -f '^ai-workstation-lock'")
    assert bare.pyinfra("tasks/storage.py", "-y").status == 0


def test_compose_itself_reads_what_was_meant(converged: Workstation) -> None:
    """Paths and flags with all special characters of YAML, Compose and shells arrive unchanged, and
    none of them becomes a key."""
    folder = "/mnt/a b,c: {d} [e] $HOME ${X} #f 'g' \"h\" %i *j &k !l"
    flags = ["--a", "'b c'", "'$HOME'", "'d;e'", "'{f: g}'", "h#i", "--j=k:l"]
    asked = {
        "prometheus": {"fast": folder},
        "dhoch3": {"flags": {**data("dhoch3")["flags"], "fooocus": flags}},
    }
    read = {}
    for stack, changed in asked.items():
        compose = base64.b64encode(render(stack, changed=changed).compose.encode()).decode()
        told = converged.run(
            f"echo {compose} | base64 -d | docker compose -f - --project-directory /tmp "
            "config --format json"
        )
        # Compose's output can be used as its input again: it writes two dollars for one.
        read[stack] = json.loads(told.replace("$$", "$"))["services"]
    mounts = [one["source"] for one in read["prometheus"]["comfy"]["volumes"]]
    assert f"{folder}/services/comfy-mnt" in mounts
    words = ["--a", "b c", "$HOME", "d;e", "{f: g}", "h#i", "--j=k:l"]
    assert read["dhoch3"]["fooocus"]["command"][-len(words) :] == words
    for services in read.values():
        assert not any("privileged" in keys for keys in services.values())


@pytest.mark.long
def test_compose_says_what_was_recorded_of_it(converged: Workstation) -> None:
    """Tested with every three-hundredth case; the record is of 2.40."""
    if not converged.run("docker compose version --short").startswith("2.40"):
        pytest.skip("another Compose")
    verdicts = {name: iter(letters) for name, letters in compose_corpus.record().items()}
    asked = [(case, next(verdicts[case[0]])) for case in compose_corpus.cases()][::300]
    for (name, path, value, key), verdict in asked:
        made = base64.b64encode(dump(compose_corpus.changed(path, value, key)).encode()).decode()
        taken = converged.succeeds(
            f"echo {made} | base64 -d | docker compose -f - --project-directory /tmp config -q"
        )
        assert (name, value, key, taken) == (name, value, key, verdict == "y")
