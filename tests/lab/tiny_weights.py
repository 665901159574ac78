"""Weights of a few kilobytes for the models of stacks, in the forms of the real ones, all zeros.

The forms are PyTorch's archive (torch/serialization.py), safetensors
(github.com/huggingface/safetensors, "Format") and the folder of a pipeline of diffusers.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile

_COUNT = 1024
_EPOCH = (2026, 1, 1, 0, 0, 0)

_PIPELINES = {
    "StableDiffusionPipeline": {
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    "SanaSprintPipeline": {
        "scheduler": ["diffusers", "SCMScheduler"],
        "text_encoder": ["transformers", "Gemma2Model"],
        "tokenizer": ["transformers", "GemmaTokenizerFast"],
        "transformer": ["diffusers", "SanaTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderDC"],
    },
}
"""Class of a pipeline -> its parts, each with library and class."""

_FILES = {
    "scheduler": "scheduler_config.json",
    "text_encoder": "model.safetensors",
    "tokenizer": "tokenizer.json",
    "transformer": "diffusion_pytorch_model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
}


def at(path: str) -> dict[str, bytes]:
    """Return the files of the model that a service expects at ``path``: path -> content.

    The form follows from the name: .pth, .safetensors, or without an ending a folder of diffusers.
    """
    if path.endswith(".pth"):
        return {path: checkpoint()}
    if path.endswith(".safetensors"):
        return {path: safetensors()}
    return {f"{path}/{name}": content for name, content in pipeline().items()}


def safetensors() -> bytes:
    """Return a file with one tensor."""
    entry = {"dtype": "F32", "shape": [_COUNT], "data_offsets": [0, 4 * _COUNT]}
    header = json.dumps({"weight": entry}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + bytes(4 * _COUNT)


def checkpoint() -> bytes:
    """Return a file that ``torch.load`` reads: a dictionary with one tensor, as Real-ESRGAN's."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in (
            ("data.pkl", _pickled("params_ema", "conv_first.weight")),
            ("byteorder", b"little"),
            ("data/0", bytes(4 * _COUNT)),
            ("version", b"3\n"),
        ):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", _EPOCH), data)
    return stream.getvalue()


def pipeline(kind: str = "StableDiffusionPipeline") -> dict[str, bytes]:
    """Return the files of a folder of diffusers, for one of its classes: name -> content."""
    parts = _PIPELINES[kind]
    index = {"_class_name": kind, "_diffusers_version": "0.35.0", **parts}
    files = {"model_index.json": json.dumps(index, indent=1).encode()}
    for part in parts:
        name = _FILES[part]
        content = safetensors() if name.endswith(".safetensors") else b"{}\n"
        files[f"{part}/{name}"] = content
    return files


def transformer() -> dict[str, bytes]:
    """Return the files of a folder of transformers: name -> content."""
    return {"config.json": b"{}\n", "model.safetensors": safetensors()}


def _pickled(*keys: str) -> bytes:
    """Return the pickle of a tensor in dictionaries of one key each, as PyTorch writes it: opcodes
    of protocol 2, with the storage as a persistent id (pickletools.dis shows them)."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    count = b"M" + struct.pack("<H", _COUNT)
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + count + b"tQ"
    # Offset, size, stride, no gradient, no hooks.
    tensor += b"K\x00" + count + b"\x85" + b"K\x01\x85" + b"\x89ccollections\nOrderedDict\n)RtR"
    for key in reversed(keys):
        tensor = b"}" + text(key) + tensor + b"s"
    return b"\x80\x02" + tensor + b"."
