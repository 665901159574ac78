"""The stack imagen: its parts, what Triton loads, and the document's own commands."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.test_templates import ROOT, data
from workstation import pins, settings
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.stack import Service

NAME = "imagen"
WORKERS = {
    "upscale": "upscale-worker",
    "enhance": "enhance-worker",
    "style_comic": "comic-worker",
    "style_aged": "style-aged-worker",
    "background_remove": "background-remove-worker",
}
INFRASTRUCTURE = {"redis", "pubsub", "firestore", "storage", "jaeger"}


def render(gpu: bool = True, **changes: Any) -> RenderedStack:
    values = {**settings.defaults(ROOT / "group_data/all.py"), "imagen_api_key": "k$y 'ü"}
    return StackRenderer(
        name=NAME,
        settings=settings.load(values),
        pins=pins.load(ROOT / "pins.yml"),
        mirror=Mirror(),
        data={**data(NAME), **changes},
        gpu=gpu,
    ).render()


def running(**how: Any) -> set[str]:
    return {one.name for one in render(**how).model.running}


def service(name: str, **how: Any) -> Service:
    return next(one for one in render(**how).model.services if one.name == name)


def command(**how: Any) -> list[str]:
    found: list[str] = service("triton", **how).keys["command"]
    return found


def refusal(**how: Any) -> str:
    with pytest.raises(UserError) as caught:
        render(**how)
    return str(caught.value)


@pytest.mark.parametrize("gpu", [True, False])
def test_all_of_it_runs_by_default(gpu: bool) -> None:
    """Without a profile on any service that a run starts; one image is only built."""
    made = render(gpu=gpu)
    assert {one.name for one in made.model.running} == {
        *INFRASTRUCTURE,
        "api",
        "triton",
        *WORKERS.values(),
    }
    assert {one.name: one.profiles for one in made.model.services if one.profiles} == {
        "app": ("build",)
    }
    assert service("triton", gpu=gpu).gpu is gpu


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("infra", set()),
        ("infra, api", {"api"}),
        ("triton", {"triton"}),
        ("api,triton,upscale", {"api", "triton", "upscale-worker"}),
        ("triton,workers", {"triton", *WORKERS.values()}),
        ("infra,all", {"api", "triton", *WORKERS.values()}),
    ],
)
def test_parts(parts: str, expected: set[str]) -> None:
    """The infrastructure is always included."""
    assert running(parts=parts) == INFRASTRUCTURE | expected


def test_what_is_not_a_part_is_the_documents_profile() -> None:
    """The names of the document: triton, workers, all; the API waits to be named."""
    made = render(parts="infra").model
    assert {one.name: one.profiles for one in made.services if one.profiles} == {
        "app": ("build",),
        "api": ("api", "all"),
        "triton": ("triton", "all"),
        **dict.fromkeys(WORKERS.values(), ("workers", "all")),
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parts": "upscale"}, "the worker upscale without triton"),
        ({"parts": "infra,worker"}, "has worker, expected any of infra, api, triton, workers, all"),
        ({"parts": "infra,,api"}, "an empty entry"),
        ({"parts": ""}, "expected text"),
        ({"triton_url": "other:8001"}, "would have nothing to do"),
        ({"tile": 10}, "tile"),
        ({"parts": ["api"]}, "expected a valid string"),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    """One sentence each."""
    assert said in refusal(**changes)


def test_another_triton() -> None:
    """Its address takes the place of the stack's own in API and workers."""
    how = {"parts": "api,workers", "triton_url": "192.168.0.7:8001"}
    assert running(**how) == {*INFRASTRUCTURE, "api", *WORKERS.values()}
    for name in ("api", "enhance-worker"):
        assert service(name, **how).keys["environment"]["TRITON_URL"] == "192.168.0.7:8001"


def test_triton_loads_the_models_of_the_workers() -> None:
    """Without workers, all five, for somebody else's; its memory and its weights accordingly."""
    some = {"parts": "api,triton,upscale,enhance", "instances": 2}
    assert [one for one in command(**some) if "--load" in one] == [
        "--load-model=upscale",
        "--load-model=enhance",
    ]
    triton = service("triton", **some)
    assert triton.gpu_memory == 24
    assert [one.setting for one in triton.models] == ["upscale_model", "enhance_model"]
    assert len([one for one in command(parts="triton") if "--load" in one]) == 5
    assert service("triton").gpu_memory == 23


def test_every_worker_has_its_model() -> None:
    """MODEL_NAME is what makes the same image one worker or another."""
    for model, name in WORKERS.items():
        keys = service(name).keys
        assert keys["environment"]["MODEL_NAME"] == model
        assert keys["image"] == service("api").image
        assert not service(name).gpu
        assert not service(name).secrets
    assert service("api").secrets == ("imagen_api_key",)


def test_only_loopback_is_published_and_redis_is_not() -> None:
    """Nine ports, none of them 8000, which is knowledge-center's."""
    made = render().model
    ports = [port for one in made.services for port in one.ports]
    assert len({port.split(":")[1] for port in ports}) == len(ports) == 9
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not service("redis").ports
    assert not any(port.startswith("127.0.0.1:8000:") for port in ports)


def test_routes_only_if_wanted() -> None:
    """API and Jaeger; never the object store, which has no password."""
    assert not any(one.host for one in render().model.services)
    made = render(routes=True).model
    assert {one.name: one.host.partition(".")[0] for one in made.services if one.host} == {
        "api": "imagen",
        "jaeger": "jaeger",
    }
    assert made.external_networks


def test_acceptance_asks_for_the_workers_that_run() -> None:
    """Not without API, Triton or workers."""
    check = service("api", parts="api,triton,upscale").check
    assert check
    assert check.command[-2:] == ("check", "upscale")
    assert not service("api", parts="api,triton").check
    assert service("api", parts="api,upscale", triton_url="other:8001").check


def test_a_change_of_a_model_restarts_triton_and_builds_nothing() -> None:
    """Its configuration is mounted, and no part of the image."""
    before, after = service("triton"), service("triton", steps=20)
    assert before.image == after.image
    assert before.keys["labels"] != after.keys["labels"]


def test_values_stay_in_their_place() -> None:
    """Names with special characters reach the container as they are."""
    odd = "x: $y # 'ü\" {z}"
    content = yaml.safe_load(render(project=odd).files["compose.yaml"])
    assert content["services"]["api"]["environment"]["GOOGLE_CLOUD_PROJECT"] == odd.replace(
        "$", "$$"
    )


def test_without_a_gpu_it_must_be_asked_for() -> None:
    """Triton on a processor is a decision of a person."""
    assert service("triton").needs_gpu
    assert not service("triton", triton_on_cpu=True).needs_gpu
    assert "KIND_CPU" in render(gpu=False).files["models/repository/enhance/config.pbtxt"].decode()
    assert "KIND_GPU" in render(gpu=True).files["models/repository/enhance/config.pbtxt"].decode()


def test_nothing_reaches_the_internet() -> None:
    """The network of the parts is internal; that of the loopback translates no addresses; and
    Triton takes its weights from the store alone."""
    content = yaml.safe_load(render().files["compose.yaml"])
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    assert content["networks"] == {
        "default": {"internal": True},
        "loopback": {"driver_opts": {masquerade: "false"}},
    }
    assert content["services"]["triton"]["environment"]["HF_HUB_OFFLINE"] == "1"
