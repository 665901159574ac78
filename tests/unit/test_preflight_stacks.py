"""Findings about needs of stacks other than images, and about conflicts between two of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.test_templates import STACKS, render
from workstation.facts.weights import Weights
from workstation.findings import Finding
from workstation.preflight.stacks import (
    collision_findings,
    gpu_findings,
    model_findings,
    models,
)
from workstation.settings import Settings
from workstation.stack import Stack, data_key, parse

GGUF = "4747554603000000"
PATH = "/vol/gguf/model.gguf"


def stack(name: str = "k-c", **keys: Any) -> Stack:
    content = {"name": name, "services": {"llm": {"image": "x:1", **keys}}}
    return parse(yaml.safe_dump(content), f"/opt/stacks/{name}")


def loads(form: str) -> Stack:
    model = {"path": "/models/model.gguf", "format": form, "setting": "model_path"}
    return stack(volumes=["/vol/gguf:/models:ro"], **{"x-workstation": {"model": model}})


def judged(form: str, found: Weights) -> Finding:
    (finding,) = model_findings([loads(form)], {PATH: found})
    assert (finding.name, finding.subject) == ("model of llm", "k-c/llm")
    return finding


def test_models_are_looked_for_on_the_host():
    """Through the mount by which the service sees them; not at all if no model is loaded."""
    assert models([loads("gguf"), stack()]) == [PATH]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Weights("file", 9, GGUF, link="/mnt/big/model.gguf"), "is a link to /mnt/big/model.gguf"),
        (Weights("file", 9, GGUF, link="/vol/gguf/other.gguf"), "which the container cannot"),
        (Weights("file", 9, GGUF, link="../other/model.gguf"), "which the container cannot"),
        (Weights("silent"), "does not answer"),
    ],
)
def test_a_model_that_the_container_will_not_find_is_refused(found: Weights, words: str):
    """The host finds it, and would report that it exists."""
    finding = judged("gguf", found)
    assert not finding.ok
    assert words in finding.detail


def test_a_model_that_is_a_link_within_its_folder_is_there():
    """A relative link leads to the same file in the container."""
    assert judged("gguf", Weights("file", 9, GGUF, link="./v2/model-Q4.gguf")).ok
    same = stack(
        volumes=["/vol/gguf:/vol/gguf:ro"],
        **{"x-workstation": {"model": {"path": PATH, "format": "gguf", "setting": "x"}}},
    )
    found = Weights("file", 9, GGUF, link="/vol/gguf/other.gguf")
    assert next(model_findings([same], {PATH: found})).ok


def test_a_model_of_the_right_form_is_told_as_there():
    """A GGUF file is recognized by its first bytes, a folder by the names in it."""
    assert judged("gguf", Weights("file", 9, GGUF)).ok
    for weights in ("model-00001-of-00002.safetensors", "pytorch_model.bin"):
        assert judged("safetensors", Weights("folder", entries=("config.json", weights))).ok


@pytest.mark.parametrize(
    ("form", "found", "seen", "fix"),
    [
        ("gguf", Weights(), "does not exist", "copy a GGUF file to " + PATH),
        (
            "gguf",
            Weights(entries=("a.gguf", "notes")),
            "(in the same folder: a.gguf)",
            "copy a GGUF",
        ),
        ("gguf", Weights("folder", entries=("config.json",)), "is a folder", "copy a GGUF"),
        ("gguf", Weights("file", 0, ""), "is empty", "copy a GGUF"),
        ("gguf", Weights("file", 9, "76657273696f6e20"), "a Git LFS pointer", "git lfs pull"),
        ("gguf", Weights("file", 9, "504b030414000808"), "PyTorch", "convert_hf_to_gguf.py"),
        ("gguf", Weights("file", 9, "3c21444f43545950"), "a web page", "download the file again"),
        ("gguf", Weights("file", 9, "0011223344556677"), "is not a GGUF file", "copy a GGUF"),
        ("safetensors", Weights(entries=("other",)), "(in the same folder: other)", "copy a"),
        ("safetensors", Weights("file", 9, GGUF), "is a GGUF file", "copy a Hugging Face model"),
        ("safetensors", Weights("folder"), "has no config.json", "copy a Hugging"),
        ("safetensors", Weights("folder", entries=("config.json",)), "has no weights", "copy a"),
    ],
)
def test_what_is_wrong_is_told_with_a_fix(form: str, found: Weights, seen: str, fix: str):
    """Another model can be set instead; the fix says where and how."""
    finding = judged(form, found)
    assert not finding.ok
    assert not finding.note
    assert finding.detail.startswith(PATH)
    assert seen in finding.detail
    assert fix in finding.fix
    assert "set model_path in group_data/k-c.py, or K_C_MODEL_PATH in .env" in finding.fix


def test_a_service_that_needs_a_gpu_is_told_when_it_is_given_none():
    """The fix says what to change instead; other services are not mentioned."""
    needs = {"x-workstation": {"needs_gpu": "set layers to 0"}}
    (finding,) = gpu_findings([stack(**needs), stack("other")])
    assert (finding.ok, finding.name) == (False, "GPU for llm")
    assert finding.fix.startswith("set layers to 0 in group_data/k-c.py, or")
    (finding,) = gpu_findings([stack(gpus="all", **needs)])
    assert finding.ok


def test_a_port_or_name_that_two_services_claim_is_told():
    """Of one stack or of two; the same number with another protocol, or inside a container, is no
    conflict."""
    labels = {
        "traefik.enable": "true",
        "traefik.http.routers.x.rule": "Host(`llm.example.org`)",
    }
    name = {"container_name": "llm"}
    one = stack("one", ports=["127.0.0.1:8000:80", "9000:9000/udp"], labels=labels, **name)
    two = stack("two", ports=["8000:8000", "9000:9000"], labels=labels, **name)
    found = {finding.name: finding.detail for finding in collision_findings([one, two])}
    assert found == {
        "port 8000": "it is claimed by one/llm and two/llm",
        "host name llm.example.org": "it is claimed by one/llm and two/llm",
        "container name llm": "it is claimed by one/llm and two/llm",
    }
    assert not list(collision_findings([one]))
    (finding,) = collision_findings([one], {"port 8000": "a program"})
    assert finding.detail == "it is claimed by a program and one/llm"


def test_all_stacks_of_this_repository_run_on_one_machine():
    """No port, name, key of data, or folder of the share is used twice."""
    rendered = [render(name) for name in STACKS]
    found = [stack.model for stack in rendered]
    assert list(collision_findings(found)) == []
    keys = [data_key(name) for name in STACKS if name != "proxy"]
    assert len(keys) == len(set(keys))
    assert not set(keys) & set(Settings.model_fields)
    folders = [one.path for stack in rendered for one in stack.places if one.home == "share"]
    assert len(folders) == len(set(folders))


def test_what_docker_names_for_one_stack_is_not_another_stacks():
    """Containers, volumes and networks begin with the project's name; names chosen for containers
    have another form, and no image is built under the same name."""
    rendered = {name: yaml.safe_load(render(name).compose) for name in STACKS}
    assert {name: content["name"] for name, content in rendered.items()} == {
        name: name for name in STACKS
    }
    images = []
    for content in rendered.values():
        services = content["services"].values()
        for name in [keys["container_name"] for keys in services if "container_name" in keys]:
            assert not any(name.startswith(f"{project}-") for project in STACKS)
        images += {keys["image"].partition(":")[0] for keys in services if "build" in keys}
        for kind in ("volumes", "networks"):
            named = [keys or {} for keys in (content.get(kind) or {}).values()]
            # The proxy's networks are those that stacks share.
            shared = {"proxy", "proxy-guarded"}
            assert {keys.get("name") for keys in named} <= {None, *shared}
    assert len(images) == len(set(images))
