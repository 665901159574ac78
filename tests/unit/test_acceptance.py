"""Acceptance of services: the checks follow from their Compose entries alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.acceptance_stacks import (
    PAINTER,
    configured,
    container,
    made_up,
    one,
    probes,
    run,
)
from workstation.acceptance import LIMIT, Answer, Probe, evidence
from workstation.acceptance.containers import container_probe, image_findings
from workstation.acceptance.services import outputs, proxy_entrance
from workstation.compose.actions import ProjectState
from workstation.findings import Finding


@pytest.fixture
def painter() -> dict[str, Probe]:
    return probes(made_up(painter=PAINTER), container("painter"))


# The probes


def test_a_service_that_has_everything_gets_every_probe():
    """A new service is checked without new code."""
    found = probes(made_up(painter=PAINTER), container("painter"))
    asked = ("200", "http://127.0.0.1:80/api/health")
    host = ("-H", "Host: painter.example")
    assert {name: probe.arguments for name, probe in found.items()} == {
        "s/painter asks for a login and refuses pages of other origins": (
            *asked,
            "password",
            *host,
        ),
        "s/painter answers on painter.example": (*asked, "-K", "login", *host),
        "s/painter sees the GPU": ("id-painter",),
        "s/painter reads models, and only reads": ("id-painter", "/models", "t0ken"),
        "s/painter writes outputs": ("id-painter", "/outputs", "t0ken"),
        "s/painter reaches Ollama": (
            "id-painter",
            "http://host.docker.internal:11434/api/version",
        ),
    }


def test_a_service_that_promises_nothing_is_not_probed():
    """A database, for example."""
    assert probes(made_up(db={"image": "db:1", "volumes": ["db:/d"]}), container("db")) == {}


def test_a_service_without_a_container_is_asked_through_the_proxy_alone():
    """There is no container to check; that it is missing is a separate finding."""
    assert list(probes(made_up(painter=PAINTER))) == [
        "s/painter asks for a login and refuses pages of other origins",
        "s/painter answers on painter.example",
    ]


def test_what_is_only_built_is_not_probed():
    """It has no container on purpose."""
    stack = made_up(base={**PAINTER, "profiles": ["build"]})
    assert probes(stack, container("base")) == {}
    assert container_probe([(stack, ProjectState())]).findings(Answer(True, "")) == []
    assert list(image_findings([(stack, ProjectState())])) == []


@pytest.mark.parametrize(
    "extra_hosts",
    [["host.docker.internal:host-gateway"], {"host.docker.internal": "host-gateway"}],
)
def test_a_service_that_knows_the_host_must_reach_ollama(extra_hosts: Any):
    """Compose accepts a list or a mapping."""
    stack = made_up(a={"image": "a:1", "extra_hosts": extra_hosts})
    assert list(probes(stack, container("a"))) == ["s/a reaches Ollama"]


def test_ports_follow_the_settings():
    """The ports of the proxy and of Ollama."""
    found = probes(
        made_up(painter=PAINTER), container("painter"), proxy_http_port=8080, ollama_port=11500
    )
    assert (
        found["s/painter answers on painter.example"]
        .arguments[1]
        .startswith("http://127.0.0.1:8080/")
    )
    assert ":11500/" in found["s/painter reaches Ollama"].arguments[1]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ("http", 80)),
        ({"proxy_http_port": 8080}, ("http", 8080)),
        ({"proxy": "existing"}, ("http", 80)),
        ({"proxy": "existing", "proxy_certresolver": "le"}, ("https", 443)),
        (
            {"proxy": "existing", "proxy_certresolver": "le", "proxy_http_port": 8443},
            ("https", 443),
        ),
    ],
)
def test_a_proxy_with_certificates_is_asked_by_https(
    changes: dict[str, Any], wanted: tuple[str, int]
):
    assert proxy_entrance(configured(**changes)) == wanted
    scheme, port = wanted
    _, url, *options = probes(made_up(painter=PAINTER), **changes)[
        "s/painter answers on painter.example"
    ].arguments
    if scheme == "https":
        assert url == f"https://painter.example:{port}/api/health"
        assert options == ["-k", "--resolve", f"painter.example:{port}:127.0.0.1"]
    else:
        assert url == f"http://127.0.0.1:{port}/api/health"


@pytest.mark.parametrize(
    ("ports", "shown", "url"),
    [
        (["127.0.0.1:8188:8188"], "127.0.0.1:8188", "http://127.0.0.1:8188/"),
        (["8080:80"], "127.0.0.1:8080", "http://127.0.0.1:8080/"),
        (["[::1]:8080:80"], "[::1]:8080", "http://[::1]:8080/"),
        (["192.168.0.20:8080:80"], "192.168.0.20:8080", "http://192.168.0.20:8080/"),
        (
            [{"target": 80, "published": "8080", "host_ip": "127.0.0.1"}, "9090:90"],
            "127.0.0.1:8080",
            "http://127.0.0.1:8080/",
        ),
        (["53:53/udp", "127.0.0.1:8000-8001:8000-8001"], "127.0.0.1:8000", None),
    ],
)
def test_a_service_without_a_route_is_asked_at_the_port_that_it_publishes(
    ports: list[Any], shown: str, url: str | None
):
    """At the first port, because others may speak any protocol."""
    probe, *_ = probes(made_up(a={"image": "a:1", "ports": ports})).values()
    assert probe.name == f"s/a answers on {shown}"
    assert probe.arguments == ("200", url or f"http://{shown}/")
    assert "proxy" not in probe.fix


def test_what_is_for_this_machine_alone_is_said_to_need_a_tunnel():
    """It does not speak HTTPS, and the LAN does not reach it; other ports have no such checks."""
    found = probes(made_up(a={"image": "a:1", "ports": ["127.0.0.1:8188:8188"]}))
    assert list(found) == [
        "s/a answers on 127.0.0.1:8188",
        "s/a speaks plain HTTP",
        "s/a does not answer on the LAN",
    ]
    assert "ssh -L 8188:127.0.0.1:8188" in found["s/a does not answer on the LAN"].fix
    assert "instead of https://" in found["s/a speaks plain HTTP"].fix
    assert len(probes(made_up(a={"image": "a:1", "ports": ["8188:8188"]}))) == 1


@pytest.mark.parametrize("ports", [[], ["8080"], ["53:53/udp"]])
def test_a_service_that_nobody_can_reach_is_not_asked(ports: list[str]):
    """Neither is one whose port is not known in advance."""
    stack = made_up(a={"image": "a:1", "ports": ports, "x-workstation": {"probe": "/health"}})
    assert probes(stack) == {}


def test_an_empty_probe_says_that_it_does_not_speak_http():
    """Then only the negative checks remain."""
    stack = made_up(
        redis={"image": "r:1", "ports": ["127.0.0.1:6379:6379"], "x-workstation": {"probe": ""}}
    )
    assert list(probes(stack)) == ["s/redis does not answer on the LAN"]


def test_models_that_are_writable_and_outputs_that_are_not_are_no_probe():
    """If models are mounted read-write, the service is meant to write them."""
    stack = made_up(
        a={
            "image": "a:1",
            "volumes": ["/vol/models:/models", "/mnt/ki/A:/o:ro", "/vol/models2:/x:ro"],
        }
    )
    assert probes(stack, container("a")) == {}


def test_the_container_of_docker_compose_run_is_not_the_services():
    """Otherwise a stopped leftover would be checked instead of the running service."""
    leftover = container("painter", id="leftover", state="exited", oneoff=True)
    stack = made_up(painter=PAINTER)
    found = probes(stack, container("painter"), leftover)
    assert found["s/painter sees the GPU"].arguments == ("id-painter",)
    state = ProjectState(containers=(container("painter"), leftover))
    assert container_probe([(stack, state)]).arguments[1:] == ("id-painter",)


def test_outputs_are_the_writable_mounts_of_the_share():
    """Of every stack, with the folder's path on the server."""
    first = made_up(
        painter=PAINTER,
        reader={"image": "r:1", "volumes": ["/mnt/ki/Painter:/in:ro"]},
        base={"image": "b:1", "profiles": ["build"], "volumes": ["/mnt/ki/No:/no"]},
    )
    second = made_up(trainer={"image": "t:1", "volumes": ["/mnt/ki/My Trainer/out:/o"]})
    assert outputs([first, second], configured()) == [
        ("s/painter", "Painter"),
        ("s/trainer", "My Trainer/out"),
    ]


def test_what_was_asked_is_told_as_a_person_would_type_it():
    found = probes(made_up(painter=PAINTER), container("painter"))
    assert [probe.asked for probe in found.values()] == [
        "curl -i -H 'Host: painter.example' http://127.0.0.1:80/api/health",
        "curl -u NAME -i --max-time 200 -H 'Host: painter.example' http://127.0.0.1:80/api/health",
        "docker compose -p s exec painter nvidia-smi --query-gpu=name,memory.total,compute_cap "
        "--format=csv",
        "docker compose -p s exec painter sh -c 'ls -1A /models; : >/models/.acceptance-t0ken'",
        "docker compose -p s exec --user UID painter "
        "sh -c 'printf %s t0ken >/outputs/.acceptance-t0ken'",
        "docker compose -p s exec painter curl http://host.docker.internal:11434/api/version",
    ]


# The verdict on answers

PROBE = Probe("s/a works", "true", (), "mend it", "a --works", "s/a")


def test_the_first_line_is_what_was_seen_and_all_of_it_the_evidence():
    finding = one(PROBE.findings(Answer(True, "HTTP 200\nServer: x\n", 0)))
    assert finding == Finding(
        "s/a works",
        True,
        "HTTP 200",
        "mend it",
        "$ a --works\nHTTP 200\nServer: x\nexit status 0",
        "s/a",
    )


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (Answer(False, "", 7), "exit status 7"),
        (Answer(True, "", 0), "no output"),
        (Answer(False, "x" * 500, 1), "x" * 160 + "…"),
        (Answer(False, "begun (no answer in time)", 124), "begun (no answer in time)"),
    ],
)
def test_a_detail_is_short_and_never_empty(answer: Answer, detail: str):
    assert one(PROBE.findings(answer)).detail == detail


def test_evidence_has_a_limit():
    """Its beginning, its end and the exit status are kept."""
    told = evidence("cat", "first\n" + "x" * 100_000 + "\nlast", 3)
    assert LIMIT < len(told) < LIMIT + 100
    assert told.startswith("$ cat\nfirst\n")
    assert "95915 characters omitted" in told
    assert told.endswith("last\nexit status 3")


def test_an_answer_that_nobody_can_read_fails_its_own_check():
    def read(probe: Probe, answer: Answer) -> list[Finding]:
        raise ValueError

    odd = Probe("a", "", (), "mend it", read=read)
    finding = one(odd.findings(Answer(True, "%!$", 0)))
    assert (finding.ok, finding.detail) == (False, "unexpected answer: %!$")


GPU_HEADER = "name, memory.total [MiB], compute_cap\n"
CARD = "NVIDIA RTX PRO 6000 Blackwell Workstation Edition, 97887 MiB, 12.0"


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (
            Answer(True, GPU_HEADER + CARD),
            True,
            "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        ),
        (Answer(True, f"{GPU_HEADER}L4, 1 MiB, 8.9\nT4, 2 MiB, 7.5"), True, "2 GPUs: L4, T4"),
        (Answer(True, "No devices were found"), False, "No devices were found"),
        (Answer(True, GPU_HEADER), False, "name, memory.total [MiB], compute_cap"),
        (
            Answer(False, "Failed to initialize NVML: Unknown Error", 255),
            False,
            "Failed to initialize NVML: Unknown Error",
        ),
    ],
)
def test_a_container_without_cards_fails_though_nvidia_smi_does_not(
    answer: Answer, ok: bool, detail: str
):
    """Memory and compute capability are in the evidence."""
    probe = probes(made_up(painter=PAINTER), container("painter"))["s/painter sees the GPU"]
    finding = one(probe.findings(answer))
    assert (finding.ok, finding.detail) == (ok, detail)
    assert answer.output.strip() in finding.evidence


# The scripts themselves


def test_writing_leaves_the_token_in_a_hidden_file(painter: dict[str, Probe], tmp_path: Path):
    """The second login to the server reads it; it is written as the user that the service itself
    became."""
    folder = tmp_path / "my outputs"
    folder.mkdir()
    done = run(painter["s/painter writes outputs"], tmp_path, "box", str(folder), "t0ken")
    assert done.returncode == 0
    assert done.stdout.startswith("written by uid 2000\n-rw")
    assert (folder / ".acceptance-t0ken").read_text() == "t0ken"


def test_writing_where_it_is_refused_fails_with_the_reason(
    painter: dict[str, Probe], tmp_path: Path
):
    """The container's message is the evidence."""
    done = run(painter["s/painter writes outputs"], tmp_path, "box", f"{tmp_path}/none", "t0ken")
    assert done.returncode != 0
    assert "t0ken" in done.stdout


def test_a_writable_model_store_fails_and_is_left_clean(painter: dict[str, Probe], tmp_path: Path):
    """The test file is removed again."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a.safetensors").touch()
    probe = painter["s/painter reads models, and only reads"]
    done = run(probe, tmp_path, "box", str(tmp_path / "models"), "t0ken")
    assert done.returncode == 1
    assert done.stdout == f"{tmp_path}/models is writable\n"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.safetensors"]


def test_a_read_only_model_store_passes_with_a_count(painter: dict[str, Probe], tmp_path: Path):
    """/proc/self is a folder in which not even root can create a file."""
    probe = painter["s/painter reads models, and only reads"]
    done = run(probe, tmp_path, "box", "/proc/self/task", "t0ken")
    assert done.returncode == 0
    assert done.stdout.startswith("/proc/self/task has 1 entries, writing is refused\n")


def test_a_model_store_that_is_not_there_fails(painter: dict[str, Probe], tmp_path: Path):
    probe = painter["s/painter reads models, and only reads"]
    done = run(probe, tmp_path, "box", f"{tmp_path}/none", "t0ken")
    assert (done.returncode, done.stdout) == (1, f"{tmp_path}/none is not there\n")


def test_a_container_that_is_gone_fails_every_probe(painter: dict[str, Probe], tmp_path: Path):
    """None of them passes accidentally."""
    inside = {name: probe for name, probe in painter.items() if "answers" not in name}
    assert len(inside) >= 4
    for name, probe in inside.items():
        assert run(probe, tmp_path, "gone", *probe.arguments[1:]).returncode != 0, name
