"""Check what stacks need besides images (models in the right format, a GPU), and what two stacks
of one machine must not share."""

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

# Formats that vLLM loads (docs.vllm.ai, "load-format"); most models today are SafeTensors.
_WEIGHTS = (".safetensors", ".bin", ".pt")
# First bytes of GGUF files, and of files often mistaken for them, in hexadecimal.
_GGUF = "47475546"
_OTHERS = {
    "76657273696f6e20": "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
    "504b0304": "a PyTorch checkpoint: convert it with llama.cpp's convert_hf_to_gguf.py",
    "3c": "a web page, perhaps a login page: download the file again",
}


def models(stacks: Iterable[Stack]) -> list[str]:
    """Return the host paths of all models that services load when they start."""
    return sorted({service.model.path for _, service in _running(stacks) if service.model})


def model_findings(stacks: Iterable[Stack], found: Mapping[str, Weights]) -> Iterator[Finding]:
    """Yield whether each model exists, in the format that its service loads.

    + found: by path, for all of :func:`models`
    """
    for stack, service in _running(stacks):
        if model := service.model:
            check = _gguf if model.format == "gguf" else _safetensors
            wrong, fix = _unreachable(service, found[model.path]) or check(model, found[model.path])
            yield Finding(
                f"model of {service.name}",
                not wrong,
                f"{model.path} {wrong}" if wrong else f"{model.path} exists",
                f"{fix}; or {_set(stack, model.setting)}",
                subject=f"{stack.name}/{service.name}",
                id="model-unusable",
            )


def gpu_findings(stacks: Iterable[Stack]) -> Iterator[Finding]:
    """Yield whether each service that needs a GPU to start gets one."""
    for stack, service in _running(stacks):
        if service.needs_gpu:
            yield Finding(
                f"GPU for {service.name}",
                service.gpu,
                "it gets all cards"
                if service.gpu
                else "this service needs a GPU, but containers get none: GPU is `none`, or "
                "`optional` with no working driver",
                f"{service.needs_gpu} in group_data/{stack.name}.py, or GPU to required",
                subject=f"{stack.name}/{service.name}",
                id="service-needs-gpu",
            )


def collision_findings(
    stacks: Iterable[Stack], others: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Yield what more than one service of the machine's stacks claims: ports, host names, and fixed
    container names.

    + others: claim, such as ``port 11434`` -> what else in this project claims it
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
                f"it is claimed by {' and '.join(claimants)}",
                "change it in group_data/ or templates/stacks/ for one of them, or remove a stack "
                "from STACKS",
                id="claimed-twice",
            )


def stranger_findings(
    projects: Iterable[tuple[Stack, str, ProjectState]],
) -> Iterator[Finding]:
    """Yield whether each stack's name is unique among Docker's Compose projects.

    + projects: stack, its folder on the host, its project there
    """
    for stack, folder, found in projects:
        seen, fix = strangers(stack.name, folder, found)
        yield Finding(
            f"project {stack.name}",
            not seen,
            seen or f"it belongs to {folder}",
            fix,
            id="project-name-taken",
        )


def _running(stacks: Iterable[Stack]) -> Iterator[tuple[Stack, Service]]:
    return ((stack, service) for stack in stacks for service in stack.running)


def _set(stack: Stack, setting: str) -> str:
    key = f"{data_key(stack.name)}_{setting}".upper()
    return f"set {setting} in group_data/{stack.name}.py, or {key} in .env, to another model"


def _unreachable(service: Service, found: Weights) -> tuple[str, str] | None:
    """Return why a container cannot read a model that the host has, and the fix; None if it can."""
    assert service.model
    path = service.model.path
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
    if not found.size:
        return "is empty", copy
    known = next((text for start, text in _OTHERS.items() if found.begins.startswith(start)), "")
    what, _, fix = known.partition(": ")
    return f"is not a GGUF file{' but ' + what if what else ''}", fix or copy


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


def _beside(found: Weights, endings: tuple[str, ...] = ("",)) -> str:
    names = [name for name in found.entries if name.endswith(endings)]
    return f" (in the same folder: {', '.join(names[:5])})" if names else ""
