"""Arguments of tasks that keep a machine safe: file permissions, and the order of steps."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyinfra import local

from tests.fixtures.harness import PASSWORD, Machine
from tests.unit.test_tasks import ASKED, KNOWLEDGE, made, run
from workstation import context, pins
from workstation.errors import UserError
from workstation.facts.files import Paths, PathState
from workstation.mirror import Mirror
from workstation.operations import (
    acceptance,
    accounts,
    ca,
    compose,
    disks,
    docker,
    files,
    firewall,
    gpu_users,
    invokeai,
    losses,
    nvidia,
    ollama,
    packages,
    preflight,
    receipts,
    smb,
    tls,
    units,
    worker,
)
from workstation.operations.files import Directory, File
from workstation.settings import SettingsError

ROOT = Path(__file__).parents[2]
Called = list[tuple[str, dict[str, Any]]]

OPERATIONS = {
    accounts: ["shared_identity", "system_user"],
    ca: ["trusted"],
    compose: ["laid_down", "up", "network_exists"],
    disks: ["mounted"],
    docker: ["engine", "daemon_config", "boot_units"],
    files: ["present", "shared_tree"],
    firewall: ["containers_reach"],
    gpu_users: ["kept"],
    invokeai: ["models_registered"],
    nvidia: ["driver", "toolkit", "devices"],
    ollama: ["release", "filter_installed", "bridge_socket"],
    packages: ["installed", "repository"],
    smb: ["share"],
    tls: ["internal"],
    units: ["running"],
    worker: ["release", "absent"],
}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """The operations that a task calls, in order, with their arguments."""
    found: Called = []

    def noting(name: str) -> Any:
        return lambda **given: found.append((name, given))

    for module, names in OPERATIONS.items():
        for name in names:
            short = module.__name__.rpartition(".")[2]
            monkeypatch.setattr(module, name, noting(f"{short}.{name}"))
    return found


def given(called: Called, name: str) -> dict[str, Any]:
    """Return the arguments of an operation's only call."""
    (one,) = [arguments for operation, arguments in called if operation == name]
    return one


def entries(called: Called) -> dict[str, files.Entry]:
    return {
        entry.path: entry
        for name, arguments in called
        if name == "files.present"
        for entry in arguments["entries"]
    }


def unit_names(called: Called) -> list[str]:
    return [
        one.name
        for name, arguments in called
        if name == "units.running"
        for one in arguments["units"]
    ]


def installed(called: Called) -> set[str]:
    return {
        package
        for name, arguments in called
        if name == "packages.installed"
        for package in arguments["packages"]
    }


# Secrets


def test_the_shares_password_is_roots_and_never_shown(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """It is only in its file, whatever output is requested from a run."""
    run("smb", monkeypatch, "dhoch3")
    file = given(called, "smb.share")["credentials"]
    assert isinstance(file, File)
    assert PASSWORD.encode() in file.content
    assert (file.mode, file.user, file.group, file.secret) == ("600", "root", "root", True)
    assert file.path.startswith("/etc/ai-workstation/")
    assert "Geheim" not in f"{file} {file!r} {called!r}"


WORKER_ENVIRONMENT = "/etc/ai-workstation/knowledge-center-worker.env"


def test_the_password_of_the_queue_is_roots_and_never_shown(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """systemd reads it for the worker, whose user is a new one each time."""
    run("worker", monkeypatch, KNOWLEDGE, data=ASKED, redis_password=PASSWORD)
    file = entries(called)[WORKER_ENVIRONMENT]
    assert isinstance(file, File)
    assert (file.mode, file.user, file.group, file.secret) == ("600", "root", "root", True)
    others = [one for path, one in entries(called).items() if path != WORKER_ENVIRONMENT]
    assert others
    assert "Geheim" not in f"{others} {file!r}"
    # Everybody can see the unit with `systemctl cat`.
    assert not [one for one in others if isinstance(one, File) and b"Geheim" in one.content]


def test_the_logins_at_the_proxy_are_roots_and_the_password_is_nowhere(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Only a hash of it, in a file that no plan shows; routes hold neither."""
    run("proxy", monkeypatch, "dhoch3", login_password=PASSWORD)
    stack = given(called, "compose.laid_down")["stack"]
    hidden = {path: content for path, content in stack.files.items() if path in stack.hidden}
    assert {"routes/middlewares.yml", "routes/tls.yml"} <= {*hidden}
    assert b"anna:$2b$" in hidden["routes/middlewares.yml"]
    for content in stack.files.values():
        assert b"Geheim" not in content
    for path in {*stack.files} - {*hidden}:
        assert b"$2b$" not in stack.files[path]
    laid = {entry.path: entry for entry in compose._files(stack)}
    file = laid[f"{stack.folder}/routes/middlewares.yml"]
    assert isinstance(file, File)
    assert (file.mode, file.user, file.secret) == ("600", "root", True)


def test_every_route_of_a_stack_is_written_with_its_login(monkeypatch: pytest.MonkeyPatch):
    """With the stack itself, so that tasks/stacks.py alone is enough; an existing proxy reads the
    labels instead."""
    path, content = made("dhoch3", dockge_password="geheim-123").stack("dhoch3").routes
    assert path == "/opt/stacks/proxy/routes/dhoch3.yml"
    found = yaml.safe_load(content)["http"]["routers"]
    assert len(found) == 7
    for router in found.values():
        assert router["middlewares"][:2] == ["workstation-password", "workstation-same-origin"]
        assert "HeaderRegexp(`Origin`" in router["rule"]
    existing = made("dhoch3", proxy="existing", dockge_password="geheim-123").stack("dhoch3")
    assert existing.routes is None


def test_a_machine_with_an_authority_of_its_own_makes_a_certificate_for_every_name(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Before Traefik starts, which reads it; and its renewal runs."""
    run("proxy", monkeypatch, "dhoch3", tls="internal", domain="a.example")
    names = [name for name, _ in called]
    assert names == ["compose.laid_down", "tls.internal", "units.running", "compose.up"]
    asked = given(called, "tls.internal")
    assert asked["file"] == "/opt/stacks/proxy/routes/tls.yml"
    assert asked["names"][0] == "a.example"
    assert "comfyui.a.example" in asked["names"]
    assert unit_names(called) == ["ai-workstation-tls.timer"]
    assert "routes/tls.yml" not in given(called, "compose.laid_down")["stack"].files


@pytest.mark.parametrize("setting", ["smb_server", "smb_share", "smb_user", "smb_password"])
def test_a_run_with_a_share_needs_all_of_it_before_it_begins(setting: str):
    """Otherwise a login without a password would be tried, and the account might be locked."""
    with pytest.raises(SettingsError, match=f"^{setting.upper()} is not set"):
        made("dhoch3", **{setting: ""}).require()


def test_a_run_with_a_queue_needs_its_password_before_it_begins():
    """Otherwise Redis would be started, and its users could not log in."""
    with pytest.raises(SettingsError, match=r"^REDIS_PASSWORD is not set"):
        made(KNOWLEDGE, redis_password="").require()
    made(KNOWLEDGE).require()
    made("dhoch3", redis_password="", dockge_password="geheim-123").require()


# Guards come before the things that they guard


def test_docker_has_its_guard_and_what_that_needs(called: Called, monkeypatch: pytest.MonkeyPatch):
    """The unit is installed as rendered, and runs."""
    run("docker", monkeypatch, "dhoch3")
    assert "nftables" in installed(called)
    laid_down = given(called, "docker.boot_units")
    assert "hook forward" in laid_down["guard"]
    assert "/mnt/ki_Daten" in laid_down["containers"]
    for unit in ("ai-workstation-guard.service", "ai-workstation-containers.service"):
        assert unit in unit_names(called)
    names = [name for name, _ in called]
    assert names.index("docker.daemon_config") < names.index("docker.engine")
    # Packages make systemd reload its units.
    assert names[0] == "gpu_users.kept"


def test_docker_rotates_logs_and_lets_containers_run_on(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Only as defaults: existing settings take precedence."""
    run("docker", monkeypatch, "dhoch3")
    arguments = given(called, "docker.daemon_config")
    assert arguments["wanted"] == {}
    assert arguments["defaults"] == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        "live-restore": True,
    }


@pytest.mark.parametrize(
    ("mirror", "trusted"),
    [
        (Mirror(), {}),
        (Mirror(registry="m:5000"), {}),
        (Mirror(registry="m:5000", insecure=True), {"insecure-registries": ["m:5000"]}),
        (Mirror(insecure=True), {}),
    ],
)
def test_a_registry_without_tls_is_trusted_only_if_somebody_says_so(
    called: Called, monkeypatch: pytest.MonkeyPatch, mirror: Mirror, trusted: dict[str, Any]
):
    """Anyone on the way could serve other images."""
    run("docker", monkeypatch, "dhoch3", mirror=mirror)
    assert given(called, "docker.daemon_config")["wanted"] == trusted


def test_ollama_is_verified_by_its_pin_and_guarded_before_it_listens(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Reachable only from containers. Our drop-in comes after others, and an existing unit is
    kept."""
    machine = made("dhoch3")
    pinned = {"downloads": {"ollama": {"sha256": "ab" * 32}}}
    machine.pins = pins.load(ROOT / "pins.yml", pinned)
    monkeypatch.setattr(context, "load", lambda host: machine)
    runpy.run_path(str(ROOT / "tasks/ollama.py"))
    assert given(called, "ollama.release")["sha256"] == "ab" * 32
    assert given(called, "ollama.release")["version"] == machine.pins.downloads["ollama"].version
    assert {"nftables", "zstd", "curl"} <= installed(called)
    names = unit_names(called)
    guard, socket = "ollama-docker-guard.service", "ollama-docker.socket"
    assert names.index(guard) < names.index(socket)
    found = entries(called)
    unit = found["/etc/systemd/system/ollama.service"]
    assert isinstance(unit, File)
    assert unit.backup
    folder = "/etc/systemd/system/ollama.service.d"
    (ours,) = [path.removeprefix(f"{folder}/") for path in found if path.startswith(f"{folder}/")]
    assert max(["override.conf", "99-host.conf", "local.conf", ours]) == ours
    store = found[made("dhoch3").settings.ollama_models]
    assert isinstance(store, Directory)
    assert (store.user, store.group, store.mode) == ("ollama", "ollama", "755")


def test_models_are_taken_over_before_a_unit_of_ours_hides_where_they_were(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """systemd knows the previous store until it reads the drop-in, and a run may end in between.
    The models get an owner, who must exist first."""
    run("ollama", monkeypatch, "dhoch3")
    names = [name for name, _ in called]
    assert names.index("accounts.system_user") < names.index("ollama.release")
    assert names.index("ollama.release") < names.index("files.present")
    assert names.index("files.present") < names.index("units.running")


def test_the_toolkit_is_the_pinned_one_and_a_gpu_that_is_required_must_be_there(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """From the repository with the pinned key."""
    run("nvidia", monkeypatch, "dhoch3", gpu="required")
    pin = made("dhoch3").pins.apt["nvidia"]
    arguments = given(called, "nvidia.toolkit")
    assert pin.version
    assert arguments["version"] == pin.version
    assert arguments["repository"]["fingerprint"] == pin.fingerprint
    assert given(called, "nvidia.driver")["required"] is True
    called.clear()
    run("nvidia", monkeypatch, "dhoch3", gpu="none")
    assert called == []


@pytest.mark.parametrize("task", ["storage", "stacks"])
def test_no_folder_is_made_before_the_disks_are_there(
    called: Called, monkeypatch: pytest.MonkeyPatch, task: str
):
    """It would be on the system's disk, and hidden once the right one is mounted."""
    run(task, monkeypatch, "prometheus")
    assert called[0][0] == "disks.mounted"
    assert called[0][1]["folders"] == ["/mnt/local/nvme", "/mnt/local/ssd"]
    assert len(called) > 1


def test_the_store_is_its_groups_and_two_operations_do_not_undo_each_other(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Everybody else can only read."""
    run("storage", monkeypatch, "dhoch3")
    found = entries(called)
    assert found
    for entry in found.values():
        assert isinstance(entry, Directory)
        assert (entry.mode, entry.user, entry.group) == ("2775", "root", "ai")
    tree = given(called, "files.shared_tree")
    assert set(tree["settled"]) == found.keys()
    assert tree["group"] == "ai"


def test_what_is_laid_down_for_the_store_is_right_in_the_second_run(
    monkeypatch: pytest.MonkeyPatch,
):
    """A folder that one operation creates does not count as wrong for the other."""
    state = PathState("directory", "2775", "root", "ai", 0, 2000, 1.0)
    machine = Machine({Paths: lambda paths, **_: dict.fromkeys(paths, state)})
    calls: Called = []
    monkeypatch.setattr(files, "present", lambda **given: calls.append(("present", given)))
    for module, names in OPERATIONS.items():
        for name in names:
            if (module, name) != (files, "present"):
                monkeypatch.setattr(module, name, lambda **_: None)
    run("storage", monkeypatch, "dhoch3")
    ((_, arguments),) = calls
    monkeypatch.undo()
    planned = machine.run(files.present, entries=arguments["entries"])
    assert planned.steps == []


@pytest.mark.parametrize("bundle", [True, False])
def test_builds_are_handed_the_networks_certificates(
    called: Called, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: bool
):
    """As a secret, which is in no layer; only if there are any."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    how = {"ca_bundle": str(tmp_path / "ca.pem")} if bundle else {}
    run("stacks", monkeypatch, "dhoch3", **how)
    assert given(called, "compose.up")["secrets"] == (
        [f"id=ca,src={ca.BUILD_BUNDLE}"] if bundle else []
    )


def test_the_whole_run_looks_before_it_changes_and_proves_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
):
    """Each part comes after the parts that it depends on."""
    included: list[str] = []
    monkeypatch.setattr(local, "include", lambda path: included.append(Path(path).stem))
    runpy.run_path(str(ROOT / "deploy.py"))
    order = {name: place for place, name in enumerate(included)}
    assert set(order) == {path.stem for path in (ROOT / "tasks").glob("*.py")} - {
        *("history", "losses"),  # they read only
    }
    assert included[0] == "preflight"
    assert included[-1] == "acceptance"
    for before, behind in (
        ("docker", "nvidia"),
        ("docker", "ollama"),
        ("nvidia", "stacks"),
        ("ollama", "stacks"),
        ("storage", "stacks"),
        ("smb", "stacks"),
        ("proxy", "stacks"),
        ("stacks", "worker"),
    ):
        assert order[before] < order[behind], (before, behind)


def test_what_only_reads_calls_no_operation(called: Called, monkeypatch: pytest.MonkeyPatch):
    """preflight, history, losses: nothing is changed before the plan is confirmed."""
    seen: list[Any] = []
    for module, name in ((preflight, "check"), (receipts, "show"), (losses, "show")):
        monkeypatch.setattr(module, name, lambda *given: seen.append(given))
    monkeypatch.setattr(acceptance, "verify", lambda **given: seen.append(given))
    for task in ("preflight", "history", "losses", "acceptance"):
        run(task, monkeypatch, "dhoch3")
    assert (len(seen), called) == (4, [])


def test_no_task_downloads_what_anyone_on_the_network_could_replace(
    called: Called, monkeypatch: pytest.MonkeyPatch
):
    """Tasks that run without preflight are refused too."""
    with pytest.raises(UserError, match=r"http://m/\S+ has no sha256 in pins.yml"):
        run("ollama", monkeypatch, "dhoch3", mirror=Mirror(http="http://m"))
