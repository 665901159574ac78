"""Preflight as a whole: its queries to the host, the findings that stop the run, and its output."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import PyinfraError

from tests.fixtures.harness import PASSWORD, Machine, settings
from workstation import pins
from workstation.compose.actions import ProjectState
from workstation.context import Context
from workstation.docker.references import familiar
from workstation.errors import UserError
from workstation.facts.compose import Project
from workstation.facts.daemon import Daemon, DaemonState
from workstation.facts.docker import Engine, EngineState
from workstation.facts.firewall import Firewall
from workstation.facts.gpu_users import GpuUsers
from workstation.facts.machine import Listener, MachineState
from workstation.facts.machine import Machine as MachineFact
from workstation.facts.mounts import Mounted
from workstation.facts.nvidia import Card, Gpu, GpuState
from workstation.facts.ollama import Ollama
from workstation.facts.packages import Packages, Sources
from workstation.facts.smb import Mount, MountState, MountUnit, ShareAnswer, ShareLogin
from workstation.facts.surroundings import Answer, Disk, Surroundings, SurroundingsState
from workstation.facts.weights import ModelFiles, Weights
from workstation.findings import Finding
from workstation.mirror import Mirror
from workstation.operations import preflight
from workstation.preflight import line, summary
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.run import current
from workstation.stack import parse

ROOT = Path(__file__).parents[2]
PINS = pins.load(ROOT / "pins.yml")
COMPOSE = """\
name: s
services:
  web:
    image: docker.io/louislam/dockge:1.5.0
    volumes: ["/mnt/ki_Daten/Web:/outputs"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    labels: {traefik.enable: "true", traefik.http.routers.s-web.rule: "Host(`web.example`)"}
"""
ALONE = """\
name: s
x-workstation: {disks: [/mnt/nvme, /mnt/ssd]}
services:
  web:
    image: docker.io/louislam/dockge:1.5.0
    ports: ["127.0.0.1:8188:8188"]
    volumes: ["/mnt/ssd/web:/outputs"]
"""
CARD = Card("NVIDIA L4", "8.9", "580.95.05", 23034, "GPU-1")
GOOD = MachineState({"ID": "ubuntu", "VERSION_ID": "24.04"}, "x86_64", systemd=True)
ENGINE = EngineState("28.5.1", "28.5.1", "2.40.3", "v0.29.1")
RUNS = DaemonState(17, "docker.service", "dockerd", loaded="loaded", answers=True)
PROVEN = GpuState(cards=(CARD,), cdi=("nvidia.com/gpu=all",), probed="0123456789abcdef")
OLLAMA, TOOLKIT = PINS.downloads["ollama"].version, PINS.apt["nvidia"].version


def context(
    machine: Machine, mirror: Mirror | None = None, compose: str = COMPOSE, **changes: Any
) -> Context:
    given = settings(**changes)
    made = Context(machine, given, PINS, mirror or Mirror(), stack_names=("s",))
    used = frozenset({"images.dockge"})
    model = parse(compose, "/opt/s")
    made._rendered["s"] = RenderedStack(model, "/opt/s", {"compose.yaml": compose.encode()}, used)
    made._rendered["proxy"] = StackRenderer(
        "proxy", given, PINS, made.mirror, {}, gpu=False
    ).render()
    return made


_FACTS: dict[str, Any] = {"system": MachineFact, "engine": Engine, "daemon": Daemon}


def converged(around: SurroundingsState | None = None, **facts: Any) -> Machine:
    """Return a host that has everything; ``around`` and other facts override parts of it."""
    have = ("docker.io/louislam/dockge:1.5.0", PINS.images["traefik"].ref())
    return Machine(
        {
            MachineFact: GOOD,
            Engine: ENGINE,
            Daemon: RUNS,
            Gpu: PROVEN,
            ShareLogin: ShareAnswer("accepted", ""),
            Project: ProjectState(docker=True, images={familiar(one): "sha256:1" for one in have}),
            Surroundings: around or SurroundingsState(toolkit=TOOLKIT, ollama=f"{OLLAMA}-0a1b2c"),
            **{_FACTS[key]: facts[key] for key in facts},
        }
    )


def check(machine: Machine, made: Context | None = None) -> list[Finding]:
    with machine.active():
        return preflight.check(machine, made or context(machine))


def offline(**changes: Any) -> Any:
    """Return surroundings from which no address can be reached."""

    def state(addresses: list[str], **_: Any) -> SurroundingsState:
        answers = dict.fromkeys(addresses, Answer("connect", "no answer"))
        known = {"toolkit": TOOLKIT, "ollama": f"{OLLAMA}-0a1b2c", **changes}
        return SurroundingsState(answers=answers, **known)

    return state


def test_all_findings_come_back_from_a_host_that_is_ready(capsys: pytest.CaptureFixture[str]):
    """They have evidence, so that a plan can show them; only notes are printed."""
    findings = check(converged())
    names = [finding.name for finding in findings]
    for name in (
        "operating system",
        "sudo",
        "dpkg",
        "Docker Engine",
        "GPU",
        "port 80",
        "port 11434",
        "foreign Traefik",
        "/etc/fstab",
        "share",
    ):
        assert name in names
    assert all(finding.detail for finding in findings)
    shown = capsys.readouterr().err.strip().splitlines()
    pins, upstreams = shown
    assert "[gpu1] note: pins: " in pins
    assert "images.dockge has no digest" in pins
    assert "[gpu1] note: upstreams: they could not be tried, because python3 is not" in upstreams


def test_the_host_is_asked_few_questions_and_each_once():
    """The system, Engine, apt's sources and cards in one command, the surroundings in another; then
    queries that others need too."""
    machine = converged()
    check(machine)
    asked = [fact for fact, _ in machine.asked]
    assert [fact for fact in asked if fact is not Project] == [
        MachineFact,
        Engine,
        Daemon,
        Gpu,
        Packages,
        Sources,
        GpuUsers,
        Surroundings,
        Ollama,
        Firewall,
        Mount,
        ShareLogin,
    ]
    projects = [given["project"] for fact, given in machine.asked if fact is Project]
    assert projects == ["proxy", "s"]


def test_a_stack_that_needs_neither_proxy_share_nor_ollama_is_not_asked_for_them():
    """No settings of the share, no ports, no free space for Ollama's models."""
    machine = converged(SurroundingsState(toolkit=TOOLKIT))
    machine.facts[Mounted] = {"/mnt/nvme": "/dev/nvme0n1p1", "/mnt/ssd": "/dev/sda1"}
    names = {one.name for one in check(machine, context(machine, compose=ALONE, smb_server=""))}
    assert not names & {"port 80", "port 11434", "foreign Traefik", "share", "/etc/fstab"}
    assert {"port 8188", "mount /mnt/ssd"} <= names
    asked = dict(machine.asked)
    assert ShareLogin not in asked
    assert "/mnt/ssd" in asked[Surroundings]["folders"]
    assert not any("ollama" in folder for folder in asked[Surroundings]["folders"])


def test_what_is_in_the_way_of_the_share_stops_the_run_with_everything_else():
    """An entry in fstab, and units that take precedence over fstab."""
    machine = converged()
    machine.facts[Mount] = MountState(
        fstab=b"# B\xfcro\nnas:/x /srv/daten nfs4 defaults 0 0\n",
        linked=(2,),
        mount=MountUnit("mnt-ki_Daten.mount", masked=True),
    )
    machine.facts[ShareLogin] = ShareAnswer("version", "Dialect not supported by server")
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine, context(machine, smb_options="vers=2.1"))
    told = str(caught.value)
    for words in ("line 2 mounts nas:/x (nfs4)", "mnt-ki_Daten.mount is masked", "vers=2.1"):
        assert words in told
    asked = dict(machine.asked)
    assert "vers=2.1" in asked[ShareLogin]["options"]


def test_folders_that_cannot_be_used_stop_the_run_and_links_are_worth_knowing():
    """Folders of the model store; the query to the host names it."""
    store = "/vol/service/cw/storage-models/models"
    around = SurroundingsState(
        toolkit=TOOLKIT,
        ollama=f"{OLLAMA}-0a1b2c",
        disks={store: Disk("/mnt/usb", 10**12, "exfat")},
        silent=("/vol",),
        store=store,
        links=(("unet", f"{store}/diffusion_models"),),
    )
    compose = COMPOSE.replace("/outputs", f'/outputs", "{store}:/models:ro')
    machine = converged(around)
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine, context(machine, compose=compose))
    told = str(caught.value)
    assert f"folder {store}: it is on /mnt/usb (exfat)" in told
    assert "folder /vol: it does not answer" in told
    notes = [
        one for one in current().findings["gpu1"] if one.note and one.name == f"links in {store}"
    ]
    assert f"ln -sfn diffusion_models {store}/unet" in notes[0].fix
    assert dict(machine.asked)[Surroundings]["store"] == store


def test_a_folder_where_a_disk_should_be_stops_the_run():
    """Its name and the fix are shown; the other disk is mounted."""
    machine = converged(SurroundingsState(toolkit=TOOLKIT))
    machine.facts[Mounted] = {"/mnt/nvme": "/dev/nvme0n1p1"}
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine, context(machine, compose=ALONE))
    _, told = str(caught.value).splitlines()
    assert told.startswith("  mount /mnt/ssd: nothing is mounted there. To fix it: mount")


@pytest.mark.parametrize(
    "facts",
    [{"engine": replace(ENGINE, wedged=True)}, {"daemon": replace(RUNS, wedged=True)}],
)
def test_an_engine_that_does_not_answer_is_one_sentence(facts: dict[str, Any]):
    """Nothing else is queried, which would wait just as long, and nothing counts as missing."""
    machine = converged(**facts)
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine)
    first, told = str(caught.value).splitlines()
    assert first == "gpu1 is not ready; nothing was changed:"
    assert told.startswith(
        "  Docker: Docker does not answer within 60 s. To fix it: see `systemctl"
    )
    assert Project not in dict(machine.asked)


def test_images_lie_where_the_engine_says():
    """A flag may have moved them."""
    machine = converged(daemon=replace(RUNS, data_root="/srv/docker"))
    check(machine)
    assert "/srv/docker" in dict(machine.asked)[Surroundings]["folders"]


def test_without_docker_no_project_is_asked_for():
    """There cannot be any."""
    machine = converged(engine=EngineState(), daemon=DaemonState())
    check(machine)
    assert Project not in [fact for fact, _ in machine.asked]


def test_a_host_that_has_everything_needs_no_internet(capsys: pytest.CaptureFixture[str]):
    """Unreachable servers are reported, but stop nothing."""
    check(converged(offline()))
    shown = capsys.readouterr().err
    assert "upstream github.com: it cannot be reached (no answer); this run needs nothing" in shown


@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({"around": offline(toolkit="1.17.8-1")}, "nvidia.github.io"),
        ({"around": offline(ollama="0.9.0-0a1b2c")}, "github.com"),
        ({"around": offline(ollama="local")}, "github.com"),
        ({"around": offline(), "engine": EngineState()}, "registry-1.docker.io"),
        ({"around": offline(), "engine": EngineState()}, "download.docker.com"),
    ],
)
def test_what_is_missing_must_be_reachable(changes: dict[str, Any], host: str):
    """A toolkit or Ollama of another version, images, Docker."""
    with pytest.raises(UserError, match=f"\n  upstream {host}: it cannot be reached"):
        check(converged(**changes))


def test_an_engine_that_does_not_run_is_not_taken_for_an_empty_one():
    """Its images are unknown, so none is reported as missing."""
    stopped = EngineState("28.5.1", "", "2.40.3", "v0.29.1")
    findings = check(converged(offline(), engine=stopped, daemon=DaemonState(loaded="loaded")))
    about = [one for one in findings if one.name.startswith(("upstream", "DNS"))]
    assert about
    assert not [one for one in about if not one.ok and not one.note]


def test_with_the_labs_mirror_only_its_address_is_asked():
    """No other address can be reached there."""
    machine = converged()
    lab = Mirror(
        http="http://192.168.0.5:80",
        registry="192.168.0.5:80",
        insecure=True,
        trusted=True,
        pypi="http://192.168.0.5:80/pypi/simple",
        npm="http://192.168.0.5:80/npm",
    )
    check(machine, context(machine, lab))
    asked = next(given for fact, given in machine.asked if fact is Surroundings)
    assert asked["addresses"] == ["http://192.168.0.5:80/v2/"]
    assert "_stdin" not in asked


def test_the_networks_own_certificates_are_trusted_and_not_shown(tmp_path: Path):
    """The host may not have them yet; pyinfra prints a fact's standard input with -v."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nTürk\n-----END CERTIFICATE-----\n")
    machine = converged()
    check(machine, context(machine, ca_bundle=str(bundle)))
    asked = next(given for fact, given in machine.asked if fact is Surroundings)
    assert "Türk" not in f"{asked}"
    assert "Türk" in "".join(asked["_stdin"])


class _Refusing(Machine):
    """A host whose first answer is an exception."""

    error: Exception

    def get_fact(self, fact: Any, **arguments: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EOFError(), "sudo on gpu1 requires a password, but there is no terminal"),
        (PyinfraError("No hosts remaining!"), "gpu1 did not run the first command as root"),
    ],
)
def test_sudo_that_is_in_the_way_is_one_sentence(error: Exception, said: str):
    """As pyinfra shows it: a prompt that nobody can answer, or sudo's refusal. With an optional
    GPU, the first query is about the driver."""
    machine = _Refusing()
    machine.error = error
    for gpu in ("required", "optional"):
        with pytest.raises(preflight.PreflightError, match=said):
            check(machine, knowledge(machine, gpu=gpu))


@pytest.mark.parametrize("name", ["smb_server", "smb_share", "smb_user", "smb_password"])
def test_a_missing_setting_is_told_before_the_host_is_asked(name: str):
    """By its name in .env."""
    machine = converged()
    with pytest.raises(UserError, match=f"^{name.upper()} is not set"):
        check(machine, context(machine, **{name: ""}))
    assert machine.asked == []


NO_SHARE = {"smb_server": "", "smb_share": "", "smb_user": "", "smb_password": ""}
KNOWLEDGE = "knowledge-center"
MODEL = "/vol/service/cw/storage-models/models/gguf/model.gguf"


def knowledge(machine: Machine, **changes: Any) -> Context:
    """Return the context of a host whose only stack is knowledge-center, without a share."""
    path = ROOT / "group_data/knowledge-center.py"
    machine.data = {"knowledge_center": runpy.run_path(str(path))["knowledge_center"]}
    given = settings(**{**NO_SHARE, "redis_password": "geheim", "gpu": "none", **changes})
    return Context(machine, given, PINS, Mirror(), stack_names=(KNOWLEDGE,))


def alone(weights: Weights | None = None, **facts: Any) -> Machine:
    """Return a host for it, with a model unless ``weights`` says otherwise."""
    machine = converged(**facts)
    machine.facts[ModelFiles] = {MODEL: weights or Weights("file", 9, "4747554603000000")}
    return machine


def test_a_host_whose_stacks_write_to_no_share_needs_none():
    """No setting of the share is needed, and the file server is not queried."""
    machine = alone()
    names = [finding.name for finding in check(machine, knowledge(machine))]
    assert ShareLogin not in [fact for fact, _ in machine.asked]
    assert not {"share", "/etc/fstab"} & set(names)
    assert {"port 8000", "port 6379", "model of llm-server"} <= set(names)


def test_a_secret_of_a_stack_is_told_before_the_host_is_asked():
    """Only the stack that has it needs it."""
    machine = alone()
    with pytest.raises(UserError, match=r"^REDIS_PASSWORD is not set"):
        check(machine, knowledge(machine, redis_password=""))
    assert machine.asked == []
    check(converged())


def test_models_are_asked_for_where_a_service_loads_one():
    """In one command; other stacks need no query."""
    machine = alone()
    check(machine, knowledge(machine))
    given = [arguments for fact, arguments in machine.asked if fact is ModelFiles]
    assert given == [{"paths": [MODEL]}]


def test_a_missing_model_stops_the_run():
    """The existing ones are listed."""
    machine = alone(Weights(entries=("other.gguf",)))
    with pytest.raises(
        preflight.PreflightError, match=r"does not exist \(in the same folder: other\.gguf\)"
    ):
        check(machine, knowledge(machine))


def test_layers_on_a_gpu_that_containers_do_not_get_stop_the_run():
    """llama.cpp itself would silently continue."""
    machine = alone()
    made = knowledge(machine)
    machine.data["knowledge_center"]["n_gpu_layers"] = -1
    with pytest.raises(
        preflight.PreflightError, match="GPU for llm-server: this service needs a GPU"
    ):
        check(machine, made)


def test_a_port_of_a_stack_that_is_taken_is_told_with_its_holder():
    """The error also says where the port is set."""
    holder = Listener("127.0.0.1", 8000, "python3", "notebook.service")
    system = replace(GOOD, listeners=(holder,))
    machine = alone(system=system)
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine, knowledge(machine))
    assert "port 8000: it is held by python3 (notebook.service)" in str(caught.value)
    assert "change the port in group_data/knowledge-center.py or" in str(caught.value)


def test_a_share_that_refuses_stops_the_run_and_the_password_is_not_told():
    """With the server's own message."""
    machine = converged()
    machine.facts[ShareLogin] = ShareAnswer("refused", "STATUS_LOGON_FAILURE")
    with pytest.raises(preflight.PreflightError) as caught:
        check(machine)
    assert "share: //nas/ki_Daten: the server answered STATUS_LOGON_FAILURE" in str(caught.value)
    assert "To fix it: check SMB_USER, SMB_PASSWORD" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_problems_are_told_at_once_and_notes_before_them(capsys: pytest.CaptureFixture[str]):
    """The error contains only the problems that stop the run."""
    system = MachineState(
        {"ID": "fedora", "VERSION_ID": "43"}, "aarch64", user=1000, ufw_active=True, systemd=True
    )
    with pytest.raises(preflight.PreflightError) as caught:
        check(converged(system=system))
    told = str(caught.value).splitlines()
    assert told[0] == "gpu1 is not ready; nothing was changed:"
    assert [text.partition(":")[0].strip() for text in told[1:]] == [
        "operating system",
        "architecture",
        "sudo",
    ]
    assert "ufw: it is active" in capsys.readouterr().err


def test_the_summary_has_one_line_for_each_problem():
    """Passed checks are left out."""
    bad = Finding("b", False, "it is bad", "make it good")
    text = summary([Finding("a", True, "good"), bad, Finding("c", False, "it is worse", "leave")])
    assert text == "  b: it is bad. To fix it: make it good.\n  c: it is worse. To fix it: leave."
    assert text.startswith(f"  {line(bad)}")
