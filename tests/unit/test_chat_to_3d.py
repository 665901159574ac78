"""The stack chat-to-3d: its backends, its models, its secrets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.test_templates import ROOT, data
from workstation import pins, settings
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.stack import Service

NAME = "chat-to-3d"
SERVICE = "chat-to-3d-allinone"
SECRETS = {"hf_token": "hf_$ü 'a\"", "llm_api_key": "sk-#,%", "ngc_api_key": "nvapi-$x"}


def render(gpu: bool = True, secrets: tuple[str, ...] = (), **changes: Any) -> RenderedStack:
    values = settings.defaults(ROOT / "group_data/all.py")
    values |= {name: SECRETS[name] for name in secrets}
    return StackRenderer(
        name=NAME,
        settings=settings.load(values),
        pins=pins.load(ROOT / "pins.yml"),
        mirror=Mirror(),
        data={**data(NAME), **changes},
        gpu=gpu,
    ).render()


def service(name: str = SERVICE, **how: Any) -> Service:
    return next(one for one in render(**how).model.services if one.name == name)


def environment(**how: Any) -> dict[str, str]:
    found: dict[str, str] = service(**how).keys["environment"]
    return found


def refusal(**how: Any) -> str:
    with pytest.raises(UserError) as caught:
        render(**how)
    return str(caught.value)


@pytest.mark.parametrize("gpu", [True, False])
def test_one_container_by_default(gpu: bool) -> None:
    """It needs no key and no secret, and a GPU only to be quick."""
    made = render(gpu=gpu)
    assert [one.name for one in made.model.running] == [SERVICE]
    assert made.model.secrets == ()
    assert service(gpu=gpu).gpu is gpu
    assert service(gpu=gpu).needs_gpu == ""


def test_only_the_page_is_published() -> None:
    """As a route, on loopback, or both; the language model and TRELLIS are not."""
    keys = service(loopback=True, port=17860).keys
    assert keys["ports"] == ["127.0.0.1:17860:7860"]
    assert "ports" not in service().keys
    rule = "traefik.http.routers.chat-to-3d-chat-to-3d.rule"
    assert keys["labels"][rule].startswith("Host(`chat-to-3d.")
    alone = {"route": False, "loopback": True}
    assert "labels" not in service(**alone).keys
    assert render(**alone).model.external_networks == ()


def test_the_documents_variables() -> None:
    """They have the same names in the container."""
    given = environment(
        gradio_server_name="127.0.0.1", gradio_server_port=7999, cuda_visible_devices="1"
    )
    assert given["GRADIO_SERVER_NAME"] == "127.0.0.1"
    assert given["GRADIO_SERVER_PORT"] == "7999"
    assert given["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in environment()
    assert service(loopback=True, gradio_server_port=7999).keys["ports"] == ["127.0.0.1:7860:7999"]


def test_models_of_the_store_are_checked_before_a_run() -> None:
    """Those at Hugging Face are not: the container downloads them."""
    assert service().models == ()
    stored = service(
        llm_model="/models/llm/qwen",
        image_model="/models/diffusers/sana",
        guard_model="/models/guard",
    )
    assert [(one.path.rpartition("/")[2], one.format) for one in stored.models] == [
        ("qwen", "safetensors"),
        ("sana", "diffusers"),
        ("guard", "safetensors"),
    ]
    passed_on = {"llm": "url", "llm_url": "http://llm:8000/v1", "llm_model": "/models/model"}
    assert service(**passed_on).models == ()


def test_the_machines_ollama() -> None:
    """Only this address needs the name of the machine, and native Ollama."""
    address = "http://host.docker.internal:11434/v1"
    assert "extra_hosts" in service(llm="url", llm_url=address).keys
    assert "extra_hosts" not in service(llm="url", llm_url="http://192.168.0.7/v1").keys


def test_the_network_of_another_stack() -> None:
    """The container joins it, besides its own."""
    how = {"llm": "url", "llm_url": "http://llm-server:8000/v1", "llm_network": "other_net"}
    assert "other_net" in render(**how).model.external_networks
    assert "llm" in service(**how).keys["networks"]


def test_nvidias_container_runs_beside_it() -> None:
    """With its key in a file, and only where there is a GPU."""
    how: dict[str, Any] = {"trellis": "nim", "secrets": ("ngc_api_key",)}
    made = render(**how)
    assert [one.name for one in made.model.running] == [SERVICE, "trellis-nim"]
    assert environment(**how)["TRELLIS_URL"] == "http://trellis-nim:8000"
    assert [one.setting for one in made.model.secrets] == ["ngc_api_key"]
    assert "ports" not in service("trellis-nim", **how).keys
    assert "local" in service("trellis-nim", **how).needs_gpu


def test_secrets_are_files_alone() -> None:
    """No environment has them, only the path of a file that the service user reads."""
    how: dict[str, Any] = {"secrets": ("hf_token", "llm_api_key")}
    made = render(**how)
    owner = "{service_uid}:{service_gid}".format_map(vars(made_settings()))
    assert {one.setting: one.owner for one in made.model.secrets} == {
        "hf_token": owner,
        "llm_api_key": owner,
    }
    assert environment(**how)["HF_TOKEN_PATH"] == "/run/secrets/hf_token"
    text = made.files["compose.yaml"]
    assert not any(value in str(text) for value in SECRETS.values())


def made_settings() -> settings.Settings:
    return settings.load(settings.defaults(ROOT / "group_data/all.py"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llm": "url"}, "llm_url is empty"),
        ({"llm_model": ""}, "llm_model of chat-to-3d is empty"),
        ({"trellis": "url"}, "trellis_url is empty"),
        ({"trellis": "cloud"}, "expected one of local, nim, url, none"),
        ({"llm": "ollama"}, "expected one of transformers, url"),
        ({"objects": 21}, "at most 20"),
        ({"objects": 0}, "objects"),
        ({"local_3d_resolution": 1024}, "expected 32 to 512"),
        ({"port": 70000}, "port"),
        ({"route": False}, "nobody could reach the page"),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    """One sentence each."""
    assert said in refusal(**changes)
