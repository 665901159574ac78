"""Findings about the models that services load."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from workstation.facts.weights import Weights
from workstation.findings import Finding
from workstation.preflight.models import model_findings, models
from workstation.stack import Stack, parse

GGUF = "474755460300000000"
PATH = "/vol/gguf/model.gguf"
# The first nine bytes of each kind of file.
ZIP = "504b03040000080800"
PICKLE = "80028a0a6cfc9c46f9"
SAFETENSORS = "58000000000000007b"


def stack(name: str = "k-c", **keys: Any) -> Stack:
    content = {"name": name, "services": {"llm": {"image": "x:1", **keys}}}
    return parse(yaml.safe_dump(content), f"/opt/stacks/{name}")


def loads(form: str, name: str = "model.gguf") -> Stack:
    model = {"path": f"/models/{name}", "format": form, "setting": "model_path"}
    return stack(volumes=["/vol/gguf:/models:ro"], **{"x-workstation": {"models": [model]}})


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
        **{"x-workstation": {"models": [{"path": PATH, "format": "gguf", "setting": "x"}]}},
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


def test_every_model_of_a_service_is_looked_for():
    """The fix names the setting of each; one within a mapping has no key in .env. Services that a
    person starts do not count."""
    listed = [
        {"path": "/models/a.pth", "format": "pytorch", "setting": "models.upscale"},
        {"path": "/models/b", "format": "diffusers", "setting": "enhance"},
    ]
    keys = {"volumes": ["/vol:/models:ro"], "x-workstation": {"models": listed}}
    found = stack(**keys)
    assert models([found]) == ["/vol/a.pth", "/vol/b"]
    assert models([stack(**keys, profiles=["llm"])]) == []
    findings = list(model_findings([found], {"/vol/a.pth": Weights(), "/vol/b": Weights()}))
    assert [finding.detail for finding in findings] == [
        "/vol/a.pth does not exist",
        "/vol/b does not exist",
    ]
    assert findings[0].fix.endswith("set models.upscale in group_data/k-c.py to another model")
    assert findings[1].fix.endswith("or K_C_ENHANCE in .env, to another model")


def pytorch(name: str, found: Weights) -> Finding:
    (finding,) = model_findings([loads("pytorch", name)], {f"/vol/gguf/{name}": found})
    return finding


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a.pth", ZIP), ("a.pt", ZIP), ("a.pth", PICKLE), ("a.safetensors", SAFETENSORS)],
)
def test_weights_in_one_file_are_known_by_how_they_begin(name: str, begins: str):
    """PyTorch's are an archive, or the pickle of older versions."""
    assert pytorch(name, Weights("file", 4096, begins)).ok


@pytest.mark.parametrize(
    ("name", "found", "seen"),
    [
        (
            "a.pth",
            Weights(entries=("b.pth", "c.txt")),
            "does not exist (in the same folder: b.pth)",
        ),
        ("a.pth", Weights("folder"), "is a folder, but one file"),
        ("a.pth", Weights("file", 0, ""), "is empty"),
        ("a.pth", Weights("file", 99, "76657273696f6e2068"), "a Git LFS pointer"),
        ("a.pt", Weights("file", 99, "3c21444f4354595045"), "a web page"),
        ("a.pth", Weights("file", 99, "001122334455667788"), "is not a PyTorch checkpoint"),
        ("a.pth", Weights("file", 4096, SAFETENSORS), "is a SafeTensors file"),
        ("a.safetensors", Weights("file", 4096, ZIP), "is not a SafeTensors file but a PyTorch"),
        ("a.safetensors", Weights("file", 90, SAFETENSORS), "is not a SafeTensors file"),
        ("a.safetensors", Weights("file", 9, "58"), "is not a SafeTensors file"),
        ("a.onnx", Weights("file", 4096, ZIP), "does not end in .pth, .pt or .safetensors"),
    ],
)
def test_what_is_wrong_with_one_file_is_told(name: str, found: Weights, seen: str):
    """A header that is longer than its file means that a download broke off."""
    finding = pytorch(name, found)
    assert not finding.ok
    assert seen in finding.detail


INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "requires_safety_checker": True,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "feature_extractor": [None, None],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
LARGE = 5 * 10**6
FILES = {
    "scheduler/scheduler_config.json": 300,
    "tokenizer/vocab.json": 900,
    "unet/config.json": 700,
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors": LARGE,
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors": LARGE,
    "vae/config.json": 500,
    "vae/diffusion_pytorch_model.fp16.safetensors": LARGE,
}


def diffusers(index: Any, files: dict[str, int]) -> Finding:
    text = index if isinstance(index, str) else json.dumps(index)
    found = Weights(
        "folder", entries=("model_index.json",), index=text, inside=tuple(files.items())
    )
    (finding,) = model_findings([loads("diffusers", "sd")], {"/vol/gguf/sd": found})
    return finding


def test_a_diffusers_model_has_what_its_index_names():
    """Folders of programs' parts without weights, and of the part that programs may leave out, need
    none; of several variants of weights, one must be complete."""
    assert diffusers(INDEX, FILES).ok
    pointers = {f"{name.partition('/')[0]}/pytorch_model.bin": 130 for name in FILES}
    assert diffusers(INDEX, {**FILES, **pointers}).ok


@pytest.mark.parametrize(
    ("gone", "more", "seen"),
    [
        ("vae/diff", {}, "has no weights in vae/"),
        ("vae/", {}, "has no folder vae/, or an empty one"),
        ("scheduler/", {}, "has no folder scheduler/"),
        ("unet/diffusion_pytorch_model-00002", {}, "lacks unet/diffusion_pytorch_model-00002-of"),
        (
            "vae/diff",
            {"vae/diffusion_pytorch_model.bin": 130},
            "has vae/diffusion_pytorch_model.bin with only 130 bytes, like a Git LFS pointer",
        ),
    ],
)
def test_what_a_diffusers_model_lacks_is_named(gone: str, more: dict[str, int], seen: str):
    """Loading it would fail later, in the container."""
    files = {name: size for name, size in FILES.items() if not name.startswith(gone)} | more
    finding = diffusers(INDEX, files)
    assert not finding.ok
    assert seen in finding.detail
    assert "set model_path in group_data/k-c.py" in finding.fix


@pytest.mark.parametrize("index", ["", "[]", "{", "[" * 20000])
def test_an_index_that_cannot_be_read_is_no_model(index: str):
    """For example a Git LFS pointer, or half a download."""
    assert "is not a JSON object" in diffusers(index, FILES).detail


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        (Weights(entries=("other",)), "does not exist (in the same folder: other)"),
        (Weights("file", 9, ZIP), "is a file, but a diffusers model is a folder"),
        (Weights("folder", entries=("a.safetensors",)), "has no model_index.json"),
    ],
)
def test_what_is_no_diffusers_model_is_told(found: Weights, seen: str):
    """With the form that is expected."""
    (finding,) = model_findings([loads("diffusers", "sd")], {"/vol/gguf/sd": found})
    assert not finding.ok
    assert seen in finding.detail
