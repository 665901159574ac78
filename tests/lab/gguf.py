"""Writes models of llama.cpp's smallest architecture ("llama", one block) in its format.

The format is that of github.com/ggml-org/ggml, docs/gguf.md, version 3.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Any

EOS = 2
"""The token that ends an answer."""

Weights = Callable[[str, int], Sequence[float]]
"""Name of a tensor and how many numbers it has -> the numbers, row by row."""

_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_FORMATS = {_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f"}
_ALIGNMENT = 32
_HEADS, _FORWARD = 2, 64


def letters() -> list[str]:
    """Return a vocabulary for any text: three special tokens, all bytes, and ASCII. A space is
    U+2581."""
    printable = ["▁", *(chr(code) for code in range(0x21, 0x7F))]
    return ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *printable]


def file(
    tokens: Sequence[str], width: int, weights: Weights, *, context: int = 256, template: str = ""
) -> bytes:
    """Return the content of a GGUF file.

    + tokens: the vocabulary, which begins with ``letters()``
    + width: numbers of a token's embedding, a multiple of 4
    + context: tokens that prompt and answer may have together
    + template: how messages become a prompt, in Jinja; without one, the server takes Llama 2's
    """
    # 1 normal, 2 unknown, 3 control, 6 a byte
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(tokens) - 259)]
    values: list[tuple[str, int, Any]] = [
        ("general.architecture", _STRING, "llama"),
        ("llama.context_length", _UINT32, context),
        ("llama.embedding_length", _UINT32, width),
        ("llama.block_count", _UINT32, 1),
        ("llama.feed_forward_length", _UINT32, _FORWARD),
        ("llama.attention.head_count", _UINT32, _HEADS),
        ("llama.attention.layer_norm_rms_epsilon", _FLOAT32, 1e-5),
        ("llama.rope.dimension_count", _UINT32, width // _HEADS),
        ("llama.vocab_size", _UINT32, len(tokens)),
        ("tokenizer.ggml.model", _STRING, "llama"),
        ("tokenizer.ggml.tokens", _ARRAY, (_STRING, tokens)),
        ("tokenizer.ggml.scores", _ARRAY, (_FLOAT32, [0.0] * len(tokens))),
        ("tokenizer.ggml.token_type", _ARRAY, (_INT32, kinds)),
        ("tokenizer.ggml.unknown_token_id", _UINT32, 0),
        ("tokenizer.ggml.bos_token_id", _UINT32, 1),
        ("tokenizer.ggml.eos_token_id", _UINT32, EOS),
    ]
    if template:
        values.append(("tokenizer.chat_template", _STRING, template))
    tensors = _tensors(len(tokens), width, weights)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    head += b"".join(
        _text(key) + struct.pack("<I", kind) + _value(kind, value) for key, kind, value in values
    )
    data = b""
    for name, shape, content in tensors:
        # Type 0 is F32.
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += _padded(content)
    return _padded(head) + data


def _tensors(
    vocabulary: int, width: int, weights: Weights
) -> list[tuple[str, tuple[int, ...], bytes]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (width, vocabulary),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.attn_q.weight": (width, width),
        "blk.0.attn_k.weight": (width, width),
        "blk.0.attn_v.weight": (width, width),
        "blk.0.attn_output.weight": (width, width),
        "blk.0.ffn_norm.weight": (width,),
        "blk.0.ffn_gate.weight": (width, _FORWARD),
        "blk.0.ffn_up.weight": (width, _FORWARD),
        "blk.0.ffn_down.weight": (_FORWARD, width),
        "output_norm.weight": (width,),
        "output.weight": (width, vocabulary),
    }
    found = []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = [1.0] * count if name.endswith("norm.weight") else weights(name, count)
        found.append((name, shape, array("f", numbers).tobytes()))
    return found


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        of, values = value
        return struct.pack("<IQ", of, len(values)) + b"".join(_value(of, one) for one in values)
    return struct.pack(_FORMATS[kind], value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
