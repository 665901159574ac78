"""Programs that make their first visitor the administrator: a run creates the account before they
answer anyone, and an account that exists stays as it is."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, UnixStreamServer
from typing import Any

import pytest

from lab.upstream.files import STANDINS
from tests.unit.test_templates import ROOT, configured, render, running
from workstation import settings
from workstation.errors import UserError
from workstation.report.criteria import check, judge
from workstation.report.topology import Site

PASSWORD = "Geheim $'\"% ü"
FIRST_ACCOUNT = ROOT / "templates/stacks/dhoch3/dockge/first_account.ts"
START = ROOT / "templates/stacks/prometheus/openwebui/start.sh"

# What each program reads, with enough to tell who has an account in it.
MODULES = {
    "node_modules/redbean-node/index.mjs": """
import fs from "node:fs";
const read = () => fs.existsSync("users.json") ? JSON.parse(fs.readFileSync("users.json")) : [];
export const R = {
  knex: () => ({ count: () => ({ first: async () => ({ count: read().length }) }) }),
  dispense: () => ({}),
  store: async (user) => fs.writeFileSync("users.json", JSON.stringify([...read(), user])),
};
""",
    "node_modules/redbean-node/package.json": '{"name": "redbean-node", "exports": "./index.mjs"}',
    "backend/database.mjs": """
export class Database {
  static async init(server) { if (process.env.BROKEN) throw new Error("no database"); }
  static async close() {}
}
""",
    # As in Dockge 1.5.0, so that an error which nobody catches does not end the program.
    "backend/dockge-server.mjs": """
export class DockgeServer {
  constructor() {
    process.addListener("unhandledRejection", () => {});
    process.addListener("uncaughtException", () => {});
  }
}
""",
    "backend/password-hash.mjs": "export const generatePasswordHash = (text) => `hash of ${text}`;",
}


@pytest.fixture
def dockge(tmp_path: Path) -> Path:
    """A folder like Dockge's, with the program that creates its account."""
    if not shutil.which("node"):
        pytest.skip("node is missing")
    text = re.sub(r'"(\.\./backend/[a-z-]+)"', r'"\1.mjs"', FIRST_ACCOUNT.read_text())
    text = text.replace("/run/secrets/", f"{tmp_path}/secrets/")
    for name, content in {**MODULES, "extra/first_account.mjs": text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/dockge_password").write_text(PASSWORD)
    return tmp_path


def first_account(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(shutil.which("node")), "extra/first_account.mjs"],
        cwd=folder,
        env={"FIRST_ACCOUNT": "admin", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def users(folder: Path) -> list[dict[str, str]]:
    file = folder / "users.json"
    found: list[dict[str, str]] = json.loads(file.read_text()) if file.exists() else []
    return found


def test_dockge_gets_its_account_once(dockge: Path):
    """Another password in .env changes nothing later: the account belongs to whoever uses it."""
    done = first_account(dockge)
    assert done.returncode == 0, done.stderr
    assert users(dockge) == [{"username": "admin", "password": f"hash of {PASSWORD}"}]
    assert "Geheim" not in done.stdout + done.stderr
    (dockge / "secrets/dockge_password").write_text("another one")
    assert first_account(dockge, FIRST_ACCOUNT="other").returncode == 0
    assert [user["username"] for user in users(dockge)] == ["admin"]


def test_an_account_in_dockge_that_somebody_created_stays(dockge: Path):
    (dockge / "users.json").write_text('[{"username": "anna", "password": "hers"}]')
    assert first_account(dockge).returncode == 0
    assert users(dockge) == [{"username": "anna", "password": "hers"}]


@pytest.mark.parametrize("wrong", ["empty", "missing", "database", "module"])
def test_dockge_does_not_start_if_its_account_cannot_be_created(dockge: Path, wrong: str):
    """It would wait for its first visitor. `&&` in its command needs a failure."""
    secret = dockge / "secrets/dockge_password"
    if wrong == "empty":
        secret.write_text("")
    elif wrong == "missing":
        secret.unlink()
    elif wrong == "module":
        (dockge / "backend/password-hash.mjs").unlink()
    done = first_account(dockge, **({"BROKEN": "1"} if wrong == "database" else {}))
    assert done.returncode != 0
    assert users(dockge) == []
    command = running("dhoch3")["dockge"]["command"]
    assert command[:2] == ["sh", "-c"]
    assert re.fullmatch(r"tsx \./extra/first_account\.ts && exec tsx \S+", command[2])


def open_webui(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run start.sh in a folder whose own start.sh shows the password that it is given."""
    text = START.read_text().replace("/run/secrets/", f"{tmp_path}/secrets/")
    (tmp_path / "start.sh").write_text('echo "started with $WEBUI_ADMIN_PASSWORD"\n')
    return subprocess.run(
        ["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )


def test_open_webui_is_given_the_password(tmp_path: Path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/openwebui_password").write_text(PASSWORD)
    done = open_webui(tmp_path)
    assert (done.returncode, done.stdout) == (0, f"started with {PASSWORD}\n")


@pytest.mark.parametrize("content", ["", None])
def test_open_webui_does_not_start_without_a_password(tmp_path: Path, content: str | None):
    """Open WebUI would ignore an empty one, and wait for its first visitor."""
    (tmp_path / "secrets").mkdir()
    if content is not None:
        (tmp_path / "secrets/openwebui_password").write_text(content)
    done = open_webui(tmp_path)
    assert done.returncode != 0
    assert "started" not in done.stdout


# The stand-ins of the lab are as open as the real programs: Dockge 1.5.0 answered the event "setup"
# with {"ok": true} and then logged the visitor in; with first_account.ts, "Dockge has been
# initialized".


@contextmanager
def serving(script: str, folder: Path, port: int, **variables: str) -> Iterator[list[str]]:
    """Run a stand-in; yield the lines of its log, which are complete at the end."""
    folder.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": str(STANDINS), "PATH": "/usr/bin:/bin", **variables}
    log: list[str] = []
    process = subprocess.Popen(
        [sys.executable, STANDINS / "images" / script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.05)
        yield log
    finally:
        process.terminate()
        assert process.stdout is not None
        log += process.stdout.read().splitlines()
        process.wait(10)


def post(port: int, path: str, content: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, json.dumps(content))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("first", [False, True], ids=["as before", "with the account of the run"])
def test_the_first_visitor_of_open_webui(tmp_path: Path, first: bool):
    port = free_port()
    variables = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(port)}
    if first:
        given = running("prometheus")["openwebui"]["environment"]
        names = ("WEBUI_ADMIN_EMAIL", "ENABLE_SIGNUP")
        variables |= {name: given[name] for name in names} | {"WEBUI_ADMIN_PASSWORD": PASSWORD}
    mallory = {"name": "M", "email": "m@example.com", "password": "Mallory123"}
    with serving("openwebui.py", tmp_path / "app", port, **variables):
        status, said = post(port, "/api/v1/auths/signup", mallory)
    if first:
        assert (status, said["detail"][:22]) == (403, "You do not have permis")
    else:
        assert (status, said["role"]) == (200, "admin")


class Engine(StreamRequestHandler):
    """Answers a ping."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nOK")


@pytest.mark.parametrize("first", [False, True], ids=["as before", "with the account of the run"])
def test_the_first_visitor_of_dockge(tmp_path: Path, first: bool):
    """Its log tells acceptance whether anybody could be."""
    port = free_port()
    engine = UnixStreamServer(str(tmp_path / "docker.sock"), Engine)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    (tmp_path / "dockge_password").write_text(PASSWORD)
    variables = {
        "DOCKGE_DATA_DIR": str(tmp_path / "data"),
        "DOCKGE_STACKS_DIR": str(tmp_path),
        "DOCKGE_PORT": str(port),
        "FIRST_ACCOUNT": "admin",
        "STANDIN_SECRETS": str(tmp_path),
        "STANDIN_SOCKET": str(tmp_path / "docker.sock"),
    }
    script = str(STANDINS / "images/dockge.py")
    if first:
        subprocess.run(
            [sys.executable, script, "first-account"],
            env={"PYTHONPATH": str(STANDINS), **variables},
            check=True,
        )
    mallory = {"username": "mallory", "password": "Mallory123"}
    with serving("dockge.py", tmp_path / "app", port, **variables) as log:
        status, said = post(port, "/standin/setup", mallory)
    with sqlite3.connect(tmp_path / "data/dockge.db") as database:
        names = [name for (name,) in database.execute("SELECT username FROM user")]
    troubles = running("dhoch3")["dockge"]["x-workstation"]["log"]["troubles"]
    assert any(trouble in line for line in log for trouble in troubles) is not first
    assert (status, names) == ((403, ["admin"]) if first else (200, ["mallory"]))
    assert said["ok"] is not first


# What .env and the Compose files say.


@pytest.mark.parametrize(
    ("stack", "name", "service"),
    [("dhoch3", "dockge_password", "dockge"), ("prometheus", "openwebui_password", "openwebui")],
)
def test_the_password_is_in_no_file_but_its_own(stack: str, name: str, service: str):
    """Neither in the Compose file nor in the environment that `docker inspect` shows."""
    found = render(stack, **{name: PASSWORD})
    (one,) = found.model.secrets
    assert (one.setting, one.owner) == (name, "root:root")
    assert [each.name for each in found.model.services if each.secrets] == [service]
    assert not [path for path, content in found.files.items() if b"Geheim" in content]
    with pytest.raises(UserError, match=f"^{name.upper()} is not set: add it to .env"):
        render(stack).secret(one)


@pytest.mark.parametrize("name", ["dockge_password", "openwebui_password"])
@pytest.mark.parametrize("text", ["1234567", "x" * 73, "ü" * 37])
def test_a_password_that_would_not_do_is_refused(name: str, text: str):
    """Too short to be one, or longer than bcrypt reads: Open WebUI would log an error, create no
    account, and wait for its first visitor."""
    with pytest.raises(UserError, match=f"^{name.upper()} is invalid, expected 8 to 72 bytes"):
        configured("dhoch3", **{name: text})
    for good in ("", "12345678", "x" * 72, "ü" * 36):
        configured("dhoch3", **{name: good})


def test_dockge_can_be_left_out():
    """With everything that is only for it; its criterion says so."""
    found = render("dhoch3", changed={"dockge": False}).model
    assert "dockge" not in [service.name for service in found.services]
    assert (found.secrets, "dockge" in found.keys["volumes"]) == ((), False)
    check(found)
    site = Site(models_path="/m", share_mount="/s")
    (one,) = [each for each in judge([], [found], site) if "Dockge" in each.text]
    assert (one.state, one.remark) == ("not checked", "no stack runs Dockge")


def test_the_defaults_of_names_can_log_in():
    """Open WebUI takes addresses at localhost (utils/misc.py, validate_email_format)."""
    given = running("prometheus")["openwebui"]["environment"]
    assert given["WEBUI_ADMIN_EMAIL"] == "admin@localhost"
    assert running("dhoch3")["dockge"]["environment"]["FIRST_ACCOUNT"] == "admin"


def test_open_webui_starts_through_the_program_with_the_password():
    """And acceptance asks it whether its set-up page is open."""
    found = running("prometheus")["openwebui"]
    assert found["command"] == ["bash", "/workstation/start.sh"]
    assert "./openwebui/start.sh:/workstation/start.sh:ro" in found["volumes"]
    assert found["secrets"] == ["openwebui_password"]
    assert found["x-workstation"]["setup"]["path"] == "/api/config"
    assert found["environment"]["ENABLE_SIGNUP"] == "false"


def test_every_password_is_a_secret():
    """Whatever its type in a stack's _data.yml is called."""
    assert {"dockge_password", "openwebui_password"} <= settings.SECRETS


@pytest.mark.parametrize("address", ["admin", "a b@c", "a@b@c", "@localhost", "a@"])
def test_an_address_that_is_none_is_refused(address: str):
    with pytest.raises(UserError, match="openwebui_email"):
        render("prometheus", changed={"openwebui_email": address})
