"""The worker of knowledge-center: its settings, and its environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.fixtures.harness import ROOT
from tests.unit.test_templates import data, render
from workstation import stack_settings
from workstation.compose.x_workstation import OWN_FILE
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.render import template
from workstation.worker import Worker

COMMIT = "0123456789abcdef" * 2 + "01234567"
ASKED = {
    "worker_repository": "https://github.com/a/b.git",
    "worker_commit": COMMIT,
    "worker_folder": "worker",
}


def load(**changes: Any) -> Worker:
    """Return the worker of the shipped stack, as read from the host's stacks."""
    entries = {**data("knowledge-center"), **ASKED, **changes}
    checked = stack_settings.checked("knowledge-center", entries, ROOT / "templates/stacks")
    found = render("knowledge-center", changed=checked).model.worker
    assert found
    return found


def told(worker: Worker, password: str = "geheim") -> dict[str, str]:
    """Return its environment variables by name."""
    lines = worker.told(lambda name: {"redis_password": password}[name]).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_without_a_repository_there_is_no_worker():
    """This is the shipped default."""
    assert load(worker_repository="", worker_commit="").repository == ""


def test_a_repository_and_a_commit_are_enough():
    """The app is the one in the requirements document."""
    found = load()
    assert (found.repository, found.commit) == ("https://github.com/a/b.git", COMMIT)
    assert (found.folder, found.app, found.timeout) == ("worker", "celery_app.celery", 120)
    assert found.name == "knowledge-center-worker"


def test_a_stack_may_have_none():
    assert render("dhoch3").model.worker is None


@pytest.mark.parametrize(
    ("folder", "name"),
    [(".", COMMIT), ("worker", f"{COMMIT}+worker"), ("a/b-c", f"{COMMIT}+a+b-c")],
)
def test_a_release_is_named_by_what_is_installed(folder: str, name: str):
    """Another folder of the same commit has other packages."""
    assert load(worker_folder=folder).release == name


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"worker_repository": "https://me:geheim@github.com/a/b"},
            "without password, token, query",
        ),
        (
            {"worker_repository": "https://ghp_geheim@github.com/a/b"},
            "without password, token, query",
        ),
        ({"worker_repository": "https://geheim@github.com/a/b"}, "without password, token, query"),
        ({"worker_repository": "ssh://me:geheim@h/a"}, "without password, token, query"),
        (
            {"worker_repository": "https://h/a?private_token=geheim"},
            "without password, token, query",
        ),
        ({"worker_repository": "https://h/a#x"}, "without password, token, query"),
        ({"worker_repository": "ghp_geheim@github.com:a/b"}, "without password, token, query"),
        ({"worker_repository": "git://h/a"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "file:///srv/a"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "/srv/a"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "-x"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "https:/h/a"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "h:-x"}, "expected an https:// or ssh:// address"),
        (
            {"worker_repository": "ssh://-oProxyCommand=x/a"},
            "expected an https:// or ssh:// address",
        ),
        ({"worker_repository": "http://h/a"}, "use its https:// or ssh:// address"),
        ({"worker_repository": "--upload-pack=x"}, "expected an https:// or ssh:// address"),
        ({"worker_repository": "ext::sh"}, "expected an https:// or ssh:// address"),
        (
            {"worker_repository": "https://github.com/a/b\u200b"},
            "expected an https:// or ssh:// address",
        ),
        ({"worker_commit": "main"}, "worker_commit is 'main', expected all 40"),
        ({"worker_commit": ""}, "but no commit"),
        ({"worker_folder": "../other"}, "worker_folder is '../other'"),
        ({"worker_folder": "/etc"}, "worker_folder is '/etc'"),
        ({"worker_app": "app; rm"}, "worker_app is 'app; rm'"),
    ],
)
def test_what_could_not_be_used_is_one_sentence(changes: dict[str, str], expected: str):
    """It contains no password."""
    with pytest.raises(UserError) as caught:
        load(**changes)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert "geheim" not in message
    assert "knowledge-center" in message


@pytest.mark.parametrize("password", ["a$b\"c'd,e#f%g hä ö", "\\`${X}", "@/:?", "1"])
def test_any_password_reaches_the_worker(password: str):
    """None of the characters in the file has a meaning for systemd or a shell."""
    address = urlsplit(told(load(), password)["REDIS_URL"])
    assert unquote(address.password or "") == password
    assert (address.hostname, address.port, address.path) == ("127.0.0.1", 6379, "/0")
    for character in " '\"\\$`#":
        assert character not in address.geturl()


def test_the_worker_is_told_where_queue_and_server_are():
    """With the variable names of its document; the server's address is the same for both
    backends."""
    found = [told(load(llm_backend=name)) for name in ("llamacpp", "vllm")]
    assert found[0]["LLM_SERVER_URL"] == "http://127.0.0.1:8000"
    assert {**found[0], "LLM_BACKEND": "vllm"} == found[1]


def test_the_unit_runs_the_app_as_nobody_in_particular():
    """It may take as long to stop as to answer."""
    text = template("worker/worker.service.j2", worker=load())
    lines = text.splitlines()
    home = "/opt/knowledge-center-worker"
    assert f"ExecStart={home}/current/.venv/bin/celery --app=celery_app.celery worker" in text
    assert f"WorkingDirectory={home}/current/worker" in lines
    assert "EnvironmentFile=/etc/ai-workstation/knowledge-center-worker.env" in lines
    assert "StateDirectory=knowledge-center-worker" in lines
    assert "Description=Knowledge Center's worker" in lines
    assert "DynamicUser=yes" in lines
    assert "TimeoutStopSec=150" in lines


@pytest.mark.parametrize(
    "address",
    [
        *("https://github.com/a/b.git", "https://h:8443/~me/b", "ssh://git@h:22/a/b.git"),
        *("ssh://h/~me/b", "git@github.com:a/b.git", "h:a/b", "h:/srv/b.git"),
    ],
)
def test_a_repository_has_an_address_of_https_or_ssh(address: str):
    """The user of an SSH address is no secret; the key is."""
    assert load(worker_repository=address).repository == address


def test_without_tls_only_the_mirrors_own_repositories_are_fetched():
    """Anyone on the network could read others' code."""
    address = "http://m:80/github.com/a/b.git"
    assert render_with(Mirror(http="http://m:80"), address).repository == address
    for mirror in (Mirror(), Mirror(http="http://m"), Mirror(http="https://m:80", trusted=True)):
        with pytest.raises(UserError, match=r"which has no TLS and is not below `http`"):
            render_with(mirror, address)


def render_with(mirror: Mirror, address: str) -> Worker:
    entries = {**data("knowledge-center"), **ASKED, "worker_repository": address}
    checked = stack_settings.checked("knowledge-center", entries, ROOT / "templates/stacks")
    found = render("knowledge-center", changed=checked, mirror=mirror).model.worker
    assert found
    return found


def test_a_new_stacks_worker_is_checked_like_a_setting():
    """Its template may contain the address itself."""
    keys = {"repository": "https://me:geheim@h/a", "commit": COMMIT, "folder": "../x", "app": "-x"}
    form = OWN_FILE.problems({"worker": {**keys, "timeout": 1, "environment": {}}}, ())
    found = {path[-1]: problem for path, problem in form}
    assert {*found} == {"repository", "folder", "app"}
    assert "geheim" not in str(found)


def test_who_installs_is_neither_root_nor_the_worker():
    """The unit's own user has the unit's name (systemd.exec(5), DynamicUser=)."""
    found = load()
    assert found.installer == "knowledge-center-install"
    assert found.installer != found.unit.removesuffix(".service")
    assert len(replace(found, stack="a" * 60).installer) <= 32
