"""What stacks need of the machine besides images: models in the right form, a GPU; and what two
stacks of one machine must not share."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from workstation.compose.actions import ProjectState, strangers
from workstation.compose.ports import published
from workstation.findings import Finding
from workstation.stack import Model, Service, Stack, data_key, is_below

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.weights import Weights

# What vLLM loads (docs.vllm.ai, "load-format"); SafeTensors is what is published today.
_WEIGHTS = (".safetensors", ".bin", ".pt")
# How files begin that are taken for models, in hexadecimal digits.
_GGUF = "47475546"
_OTHERS = {
    "76657273696f6e20": "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`",
    "504b0304": "a PyTorch checkpoint: convert it with llama.cpp's convert_hf_to_gguf.py",
    "3c": "a web page, perhaps of a login: download the file again",
}


def models(stacks: Iterable[Stack]) -> list[str]:
    """Return the paths on the host of all models that services load when they start."""
    return sorted({service.model.path for _, service in _running(stacks) if service.model})


def model_findings(stacks: Iterable[Stack], found: Mapping[str, Weights]) -> Iterator[Finding]:
    """Yield whether each model is there, in the form that its service loads.

    + found: by path, of all of :func:`models`
    """
    for stack, service in _running(stacks):
        if model := service.model:
            check = _gguf if model.format == "gguf" else _safetensors
            wrong, fix = _unreachable(service, found[model.path]) or check(model, found[model.path])
            yield Finding(
                f"model of {service.name}",
                not wrong,
                f"{model.path} {wrong}" if wrong else f"{model.path} is there",
                f"{fix}; or {_set(stack, model.setting)}",
                subject=f"{stack.name}/{service.name}",
            )


def gpu_findings(stacks: Iterable[Stack]) -> Iterator[Finding]:
    """Yield whether each service that does not start without a GPU is given one."""
    for stack, service in _running(stacks):
        if service.needs_gpu:
            yield Finding(
                f"GPU for {service.name}",
                service.gpu,
                "it is given all cards"
                if service.gpu
                else "it needs one, and containers get none: GPU is none, or optional without a "
                "driver that works",
                f"{service.needs_gpu} in group_data/{stack.name}.py, or GPU to required",
                subject=f"{stack.name}/{service.name}",
            )


def collision_findings(
    stacks: Iterable[Stack], others: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Yield what more than one service of the machine's stacks claims: ports, host names, and names
    of containers that are given as they are.

    + others: claim, such as ``port 11434`` -> what of this project has it besides
    """
    claims: dict[str, list[str]] = defaultdict(list)
    for claim, claimant in (others or {}).items():
        claims[claim].append(claimant)
    for stack, service in _running(stacks):
        claimed = {f"port {port.number}" for port in published(service)}
        if service.host:
            claimed.add(f"host name {service.host}")
        if service.keys.get("container_name"):
            claimed.add(f"container name {service.keys['container_name']}")
        for claim in sorted(claimed):
            claims[claim].append(f"{stack.name}/{service.name}")
    for claim, claimants in claims.items():
        if len(claimants) > 1:
            yield Finding(
                claim,
                False,
                f"{' and '.join(claimants)} claim it",
                "change it in the group_data/ or templates/stacks/ of one of them, or take a stack "
                "out of STACKS",
            )


def stranger_findings(
    projects: Iterable[tuple[Stack, str, ProjectState]],
) -> Iterator[Finding]:
    """Yield whether each stack's name is its own among Docker's projects.

    + projects: stack, its folder on the host, its project there
    """
    for stack, folder, found in projects:
        seen, fix = strangers(stack.name, folder, found)
        yield Finding(f"project {stack.name}", not seen, seen or f"it is that of {folder}", fix)


def _running(stacks: Iterable[Stack]) -> Iterator[tuple[Stack, Service]]:
    return ((stack, service) for stack in stacks for service in stack.running)


def _set(stack: Stack, setting: str) -> str:
    key = f"{data_key(stack.name)}_{setting}".upper()
    return f"set {setting} in group_data/{stack.name}.py, or {key} in .env, to another"


def _unreachable(service: Service, found: Weights) -> tuple[str, str] | None:
    """Return what keeps a container from a model that the host has, and what to do, or None."""
    assert service.model
    path = service.model.path
    if found.kind == "silent":
        return "does not answer", f"see `findmnt --target {path}`, and mount the disk anew"
    source = next(one.source for one in service.mounts if is_below(path, one.source))
    leads = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.link))
    absolute = found.link.startswith("/") and not any(
        one.source == one.target and is_below(leads, one.target) for one in service.mounts
    )
    out = not found.link.startswith("/") and not is_below(leads, source)
    if found.link and (absolute or out):
        return (
            f"is a link to {found.link}, to which the container cannot follow",
            f"put the model itself into {source}, or make the link a relative one within it",
        )
    return None


def _gguf(model: Model, found: Weights) -> tuple[str, str]:
    """Return what is wrong, or nothing, and what to do."""
    copy = f"copy a GGUF file to {model.path}"
    if found.kind == "absent":
        return f"is not there{_beside(found, ('.gguf',))}", copy
    if found.kind == "folder":
        return "is a folder, and llama.cpp loads one GGUF file", copy
    if found.begins.startswith(_GGUF):
        return "", copy
    if not found.size:
        return "is empty", copy
    known = next((text for start, text in _OTHERS.items() if found.begins.startswith(start)), "")
    what, _, fix = known.partition(": ")
    return f"is no GGUF file{', but ' + what if what else ''}", fix or copy


def _safetensors(model: Model, found: Weights) -> tuple[str, str]:
    copy = f"copy a model of Hugging Face, with its config.json, to {model.path}/"
    if found.kind == "absent":
        return f"is not there{_beside(found)}", copy
    if found.kind == "file":
        form = "a GGUF file" if found.begins.startswith(_GGUF) else "a file"
        return f"is {form}, and vLLM loads a folder of Hugging Face", copy
    if "config.json" not in found.entries:
        return "has no config.json", copy
    if not any(name.endswith(_WEIGHTS) for name in found.entries):
        return f"has no weights ({', '.join('*' + end for end in _WEIGHTS)})", copy
    return "", copy


def _beside(found: Weights, endings: tuple[str, ...] = ("",)) -> str:
    names = [name for name in found.entries if name.endswith(endings)]
    return f" (beside it: {', '.join(names[:5])})" if names else ""
