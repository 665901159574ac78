"""The knowledge-center's worker: what may be asked for, and what it is told."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.unit.test_templates import data
from workstation import worker
from workstation.render import template
from workstation.settings import SettingsError

COMMIT = "0123456789abcdef" * 2 + "01234567"
ASKED = {
    "worker_repository": "https://github.com/a/b.git",
    "worker_commit": COMMIT,
    "worker_folder": "worker",
}


def load(**changes: Any) -> worker.Worker | None:
    return worker.load({**data("knowledge-center"), **ASKED, **changes})


def test_without_a_repository_there_is_no_worker():
    """As shipped."""
    assert worker.load(data("knowledge-center")) is None


def test_a_repository_and_a_commit_are_enough():
    """The app is the one that the requirement's document names."""
    found = load()
    assert found == worker.Worker(
        "https://github.com/a/b.git", COMMIT, "worker", "celery_app.celery", 120
    )


@pytest.mark.parametrize(
    ("folder", "name"),
    [(".", COMMIT), ("worker", f"{COMMIT}+worker"), ("a/b-c", f"{COMMIT}+a+b-c")],
)
def test_a_release_is_named_by_what_is_installed(folder: str, name: str):
    """Another folder of the same commit has other packages."""
    found = load(worker_folder=folder)
    assert found
    assert found.release == name


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"worker_repository": "https://me:geheim@github.com/a/b"}, "holds a password"),
        ({"worker_repository": "https://ghp_geheim@github.com/a/b"}, "holds a password"),
        ({"worker_repository": "--upload-pack=x"}, "expected an address"),
        ({"worker_repository": "ext::sh"}, "expected an address"),
        ({"worker_repository": "https://github.com/a/b\u200b"}, "expected an address"),
        ({"worker_commit": "main"}, "worker_commit is 'main': expected all 40"),
        ({"worker_commit": ""}, "expected all 40"),
        ({"worker_folder": "../other"}, "worker_folder is '../other'"),
        ({"worker_folder": "/etc"}, "worker_folder is '/etc'"),
        ({"worker_app": "app; rm"}, "worker_app is 'app; rm'"),
    ],
)
def test_what_could_not_be_used_is_one_sentence(changes: dict[str, str], expected: str):
    """And no password is in it."""
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert "geheim" not in message
    assert "group_data/knowledge-center.py" in message


@pytest.mark.parametrize("password", ["a$b\"c'd,e#f%g hä ö", "\\`${X}", "@/:?", "1"])
def test_any_password_reaches_the_worker(password: str):
    """Of the characters in the file, none means anything to systemd or a shell."""
    lines = worker.environment(data("knowledge-center"), password).decode().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    address = urlsplit(values["REDIS_URL"])
    assert unquote(address.password or "") == password
    assert (address.hostname, address.port, address.path) == ("127.0.0.1", 6379, "/0")
    for character in " '\"\\$`#":
        assert character not in values["REDIS_URL"]


def test_the_worker_is_told_where_queue_and_server_are():
    """By the names that its document has; the server's is the same for both backends."""
    told = [
        worker.environment({**data("knowledge-center"), "llm_backend": name}, "x").decode()
        for name in ("llamacpp", "vllm")
    ]
    assert "LLM_SERVER_URL=http://127.0.0.1:8000\n" in told[0]
    assert told[0].replace("LLM_BACKEND=llamacpp", "LLM_BACKEND=vllm") == told[1]


def test_the_unit_runs_the_app_as_nobody_in_particular():
    """It may take as long for its end as for an answer."""
    text = template(
        "worker/knowledge-center-worker.service.j2",
        worker=load(),
        current="/opt/w/current",
        environment_file="/etc/w.env",
    )
    lines = text.splitlines()
    assert "ExecStart=/opt/w/current/.venv/bin/celery --app=celery_app.celery worker" in text
    assert "WorkingDirectory=/opt/w/current/worker" in lines
    assert "EnvironmentFile=/etc/w.env" in lines
    assert "DynamicUser=yes" in lines
    assert "TimeoutStopSec=150" in lines
