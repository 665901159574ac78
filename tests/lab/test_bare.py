"""Runs on a bare machine."""

from __future__ import annotations

import pytest

from tests.lab.conftest import ENGINE, Workstation
from tests.lab.secret import FORMS, TALKATIVE, seen, watch


def test_a_dry_run_lists_what_would_come_and_changes_nothing(bare: Workstation) -> None:
    """`--dry --diff` on a bare machine exits 0, names every area, and leaves no trace."""
    before = bare.files()
    run = bare.pyinfra("deploy.py", "--dry", "--diff")
    assert run.status == 0, run.error
    for expected in (
        {"newest": "package docker-ce", "distribution": "package docker.io"}[ENGINE],
        '+  "live-restore": true',
        "nvidia-container-toolkit=1.20.0-1",
        "Ollama 0.32.15",
        "/vol/service/cw/storage-models/models/checkpoints",
        "+//192.168.0.6/ki_Daten /mnt/ki_Daten cifs",
        "dhoch3: build dhoch3/fooocus:",
        "dhoch3: create comfyui",
        "proxy: create traefik",
    ):
        assert expected in run.output
    assert bare.files() == before


def test_ollama_alone(bare: Workstation) -> None:
    """tasks/ollama.py needs no other task; its second run changes nothing."""
    run = bare.pyinfra(
        "tasks/ollama.py", "-y", environment=bare.environment_without("SMB_PASSWORD")
    )
    assert run.status == 0, run.error
    assert '"version"' in bare.run("curl -sf http://127.0.0.1:11434/api/version")
    assert "172.17.0.1:11434" in bare.run("ss -Hltn")
    assert not bare.succeeds("curl -s --max-time 3 http://192.168.0.15:11434/")
    assert bare.pyinfra("tasks/ollama.py", "-y").changed == []


def test_smb_alone(bare: Workstation) -> None:
    """tasks/smb.py needs no other task: the share is mounted, guarded, with its folders; the
    password appears in no output and in no process."""
    watch(bare)
    run = bare.pyinfra("tasks/smb.py", "-y", *TALKATIVE)
    assert run.status == 0, run.error
    assert seen(bare) == ""
    assert "//192.168.0.6/ki_Daten" in bare.run("findmnt -n -o SOURCE,OPTIONS /mnt/ki_Daten")
    folders = {"ComfyUI", "Fooocus", "Forge", "InvokeAI", "FluxGym", "AIToolkit"}
    assert {path.name for path in bare.lab.nas.data.iterdir()} >= folders
    assert bare.run("stat -c '%a %U' /etc/ai-workstation/smb-ki_Daten.credentials") == "600 root\n"
    assert not any(form in run.output for form in FORMS)
    assert bare.pyinfra("tasks/smb.py", "-y").changed == []
    bare.run("umount /mnt/ki_Daten")
    assert not bare.succeeds("touch /mnt/ki_Daten/lost")


@pytest.mark.long
@pytest.mark.parametrize(
    "disk",
    [
        pytest.param("true", id="models on the same disk"),
        pytest.param("mount -t tmpfs tmpfs", id="models on another disk"),
    ],
)
def test_an_ollama_of_install_sh_is_taken_over(bare: Workstation, disk: str) -> None:
    """The pinned release replaces its binary, its models are kept, and its unit keeps running."""
    models = "/usr/share/ollama/.ollama/models"
    bare.run(
        "useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama;"
        f"mkdir -p {models}; {disk} {models};"
        f"mkdir -p {models}/manifests/library {models}/blobs /usr/local/lib/ollama;"
        f"echo weights > {models}/blobs/sha256-1; chown -R ollama:ollama /usr/share/ollama;"
        "printf '#!/bin/sh\\nexec sleep 1000000\\n' > /usr/local/bin/ollama;"
        "chmod 755 /usr/local/bin/ollama; touch /usr/local/lib/ollama/libold.so;"
        "printf '[Service]\\nExecStart=/usr/local/bin/ollama serve\\nUser=ollama\\n"
        "[Install]\\nWantedBy=default.target\\n' > /etc/systemd/system/ollama.service;"
        "mkdir -p /etc/systemd/system/ollama.service.d;"
        "printf '[Service]\\nEnvironment=OLLAMA_HOST=0.0.0.0\\n'"
        " > /etc/systemd/system/ollama.service.d/override.conf;"
        "systemctl daemon-reload; systemctl enable --now ollama"
    )
    run = bare.pyinfra("tasks/ollama.py", "-y")
    assert run.status == 0, run.error
    assert '"version": "0.32.15"' in bare.run("curl -sf http://127.0.0.1:11434/api/version")
    assert not bare.succeeds("curl -s --max-time 3 http://192.168.0.15:11434/")
    store = "/vol/service/cw/storage-models/ollama"
    assert bare.run(f"cat {store}/blobs/sha256-1") == "weights\n"
    assert bare.run(f"ls {models}") == ""
    assert not bare.succeeds("ls /usr/local/lib/ollama")
    assert bare.succeeds("ls /usr/local/lib/ollama.before-ai-workstation/libold.so")
    assert "sleep 1000000" in bare.run("cat /usr/local/bin/ollama.before-ai-workstation")
    assert bare.succeeds("ls /etc/systemd/system/ollama.service.before-ai-workstation")
    assert bare.pyinfra("tasks/ollama.py", "-y").changed == []
