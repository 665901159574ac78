"""Check whether the models that services load exist, in their format.

Formats: vLLM ("load-format" in docs.vllm.ai), llama.cpp (ggml/docs/gguf.md), PyTorch
(``torch.serialization``), safetensors (its README, "Format"), diffusers (``DiffusionPipeline``).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from workstation.errors import named
from workstation.findings import Finding
from workstation.stack import Model, Service, Stack, data_key, is_below

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.weights import Weights

# Formats that vLLM loads; most models today are SafeTensors.
_WEIGHTS = (".safetensors", ".bin", ".pt")
# First bytes of GGUF files, and of files often mistaken for them, in hexadecimal.
_GGUF = "47475546"
_LFS = "76657273696f6e20"
_ZIP = "504b0304"
_CONVERT = ": convert it with llama.cpp's convert_hf_to_gguf.py"
_OTHERS = {
    _LFS: "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
    _ZIP: "a PyTorch checkpoint",
    "3c": "a web page, perhaps a login page: download the file again",
}
# PyTorch before 1.6 wrote a bare pickle, of protocol 2 unless told otherwise.
_PICKLES = tuple(f"80{protocol:02x}" for protocol in range(2, 6))
_PYTORCH = (".pth", ".pt", ".safetensors")
_LARGEST_HEADER = 100_000_000
"""Bytes; the largest header that safetensors reads (safetensors/src/tensor.rs)."""
_LFS_SIZE = 1024
"""Bytes; pointers of Git LFS are smaller (git-lfs, docs/spec.md), and weights are larger."""
# Parts of a pipeline that have no weights, by the end of their class's name.
_WITHOUT_WEIGHTS = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor")
# Programs may load a pipeline without it (diffusers, "safety_checker=None").
_OPTIONAL = ("safety_checker",)
_MOST_PARTS = 1000
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")


def models(stacks: Iterable[Stack]) -> list[str]:
    """Return the host paths of all models that running services load."""
    return sorted({model.path for _, _, model in _loaded(stacks)})


def model_findings(stacks: Iterable[Stack], found: Mapping[str, Weights]) -> Iterator[Finding]:
    """Yield whether each model exists, in the format that its service loads.

    + found: by path, for all of :func:`models`
    """
    for stack, service, model in _loaded(stacks):
        here = found[model.path]
        wrong, fix = _unreachable(service, model, here) or _FORMATS[model.format](model, here)
        yield Finding(
            f"model of {service.name}",
            not wrong,
            f"{model.path} {wrong}" if wrong else f"{model.path} exists",
            f"{fix}; or {_set(stack, model.setting)}",
            subject=f"{stack.name}/{service.name}",
            id="model-unusable",
        )


def _loaded(stacks: Iterable[Stack]) -> Iterator[tuple[Stack, Service, Model]]:
    for stack in stacks:
        for service in stack.running:
            for model in service.models:
                yield stack, service, model


def _set(stack: Stack, setting: str) -> str:
    key = f"{data_key(stack.name)}_{setting}".upper()
    # Settings within a mapping have no key in .env.
    or_in_env = "" if "." in setting else f", or {key} in .env,"
    return f"set {setting} in group_data/{stack.name}.py{or_in_env} to another model"


def _unreachable(service: Service, model: Model, found: Weights) -> tuple[str, str] | None:
    """Return why a container cannot read a model that the host has, and the fix; None if it can."""
    path = model.path
    if found.kind == "silent":
        return "does not answer", f"see `findmnt --target {path}`, and mount the disk again"
    source = next(one.source for one in service.mounts if is_below(path, one.source))
    leads = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.link))
    absolute = found.link.startswith("/") and not any(
        one.source == one.target and is_below(leads, one.target) for one in service.mounts
    )
    out = not found.link.startswith("/") and not is_below(leads, source)
    if found.link and (absolute or out):
        return (
            f"is a link to {found.link}, which the container cannot follow",
            f"put the model itself into {source}, or use a relative link within that folder",
        )
    return None


def _gguf(model: Model, found: Weights) -> tuple[str, str]:
    """Return what is wrong (empty if nothing), and the fix."""
    copy = f"copy a GGUF file to {model.path}"
    if found.kind == "absent":
        return f"does not exist{_beside(found, ('.gguf',))}", copy
    if found.kind == "folder":
        return "is a folder, but llama.cpp loads a single GGUF file", copy
    if found.begins.startswith(_GGUF):
        return "", copy
    return _other(found, "a GGUF file", copy, {_ZIP: _OTHERS[_ZIP] + _CONVERT})


def _other(
    found: Weights, wanted: str, copy: str, others: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Return what a file is that is not ``wanted``, and the fix.

    + others: first bytes -> what such a file is, and after a colon the fix
    """
    if not found.size:
        return "is empty", copy
    kinds = {**_OTHERS, **(others or {})}
    known = next((text for start, text in kinds.items() if found.begins.startswith(start)), "")
    what, _, fix = known.partition(": ")
    return f"is not {wanted}{' but ' + what if what else ''}", fix or copy


def _safetensors(model: Model, found: Weights) -> tuple[str, str]:
    copy = f"copy a Hugging Face model, including its config.json, to {model.path}/"
    if found.kind == "absent":
        return f"does not exist{_beside(found)}", copy
    if found.kind == "file":
        form = "a GGUF file" if found.begins.startswith(_GGUF) else "a file"
        return f"is {form}, but vLLM loads a Hugging Face folder", copy
    if "config.json" not in found.entries:
        return "has no config.json", copy
    if not any(name.endswith(_WEIGHTS) for name in found.entries):
        return f"has no weights ({', '.join('*' + end for end in _WEIGHTS)})", copy
    return "", copy


def _pytorch(model: Model, found: Weights) -> tuple[str, str]:
    """Return what is wrong with one file of weights. Programs choose the reader by its ending."""
    copy = f"copy the file with the weights to {model.path}"
    if not model.path.endswith(_PYTORCH):
        return f"does not end in {', '.join(_PYTORCH[:-1])} or {_PYTORCH[-1]}", copy
    if found.kind == "absent":
        return f"does not exist{_beside(found, _PYTORCH)}", copy
    if found.kind == "folder":
        return "is a folder, but one file with weights is loaded", copy
    if model.path.endswith(".safetensors"):
        fits, wanted = _is_safetensors(found), "a SafeTensors file"
    else:
        fits, wanted = found.begins.startswith((_ZIP, *_PICKLES)), "a PyTorch checkpoint"
    if not fits and _is_safetensors(found):
        return "is a SafeTensors file", "let its name end in .safetensors"
    return ("", copy) if fits and found.size else _other(found, wanted, copy)


def _is_safetensors(found: Weights) -> bool:
    """Return whether a file begins like SafeTensors: the size of its header as eight bytes, lowest
    first, then the header, a JSON object."""
    begins = bytes.fromhex(found.begins)
    header = int.from_bytes(begins[:8], "little")
    return begins[8:9] == b"{" and 2 <= header <= min(found.size - 8, _LARGEST_HEADER)


def _diffusers(model: Model, found: Weights) -> tuple[str, str]:
    copy = f"copy a diffusers model, with all of its folders, to {model.path}/"
    if found.kind == "absent":
        return f"does not exist{_beside(found)}", copy
    if found.kind == "file":
        return "is a file, but a diffusers model is a folder with a model_index.json", copy
    if "model_index.json" not in found.entries and not found.index:
        return "has no model_index.json", copy
    try:
        index = json.loads(found.index)
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        return "has a model_index.json that is not a JSON object", copy
    for part, made_by in index.items():
        # Others describe the pipeline; a part that it does without is [null, null].
        if not isinstance(made_by, list) or len(made_by) != 2 or not all(made_by):
            continue
        wrong = _part(part, str(made_by[1]), dict(found.inside))
        if wrong and part not in _OPTIONAL:
            return wrong, copy
    return "", copy


def _part(part: str, kind: str, inside: Mapping[str, int]) -> str:
    """Return what is wrong with a folder that an index names, or an empty string.

    + kind: name of its class
    + inside: path of each file in the model's folders -> its size
    """
    folder = f"{part}/"
    files = {
        path.removeprefix(folder): size for path, size in inside.items() if path.startswith(folder)
    }
    if not files:
        return f"has no folder {named(part)}/, or an empty one, which its model_index.json names"
    if kind.endswith(_WITHOUT_WEIGHTS):
        return ""
    weights = {name: size for name, size in files.items() if name.endswith(_WEIGHTS)}
    if not weights:
        return f"has no weights in {named(part)}/ ({', '.join('*' + end for end in _WEIGHTS)})"
    # There may be several variants, such as one in half precision; one that is complete is enough.
    problems = [_variant(part, names, weights) for names in _variants(weights)]
    return "" if "" in problems else problems[0]


def _variants(weights: Iterable[str]) -> list[list[str]]:
    """Return the files of each variant: one file, or as many as the names of its parts say."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(weights):
        shard = _SHARD.fullmatch(name)
        if shard is None:
            found[(name,)] = [name]
            continue
        stem, _, last, end = shard.groups()
        numbers = range(1, min(int(last), _MOST_PARTS) + 1)
        found[stem, last, end] = [f"{stem}-{number:05}-of-{last}{end}" for number in numbers]
    return list(found.values())


def _variant(part: str, names: Iterable[str], weights: Mapping[str, int]) -> str:
    """Return what is wrong with the files of one variant, or an empty string."""
    for name in names:
        if name not in weights:
            return f"lacks {named(f'{part}/{name}')}"
        if weights[name] < _LFS_SIZE:
            size = weights[name]
            return f"has {named(f'{part}/{name}')} with only {size} bytes, like a Git LFS pointer"
    return ""


_FORMATS: dict[str, Callable[[Model, Weights], tuple[str, str]]] = {
    "gguf": _gguf,
    "safetensors": _safetensors,
    "pytorch": _pytorch,
    "diffusers": _diffusers,
}


def _beside(found: Weights, endings: tuple[str, ...] = ("",)) -> str:
    names = [name for name in found.entries if name.endswith(endings)]
    return f" (in the same folder: {', '.join(names[:5])})" if names else ""
