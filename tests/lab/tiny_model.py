"""A model of a few kilobytes in llama.cpp's format: it answers, but with nonsense.

The format is that of github.com/ggml-org/ggml, docs/gguf.md, version 3; the architecture is the
smallest that llama.cpp knows ("llama"), and its weights are random.
"""

from __future__ import annotations

import random
import struct
from array import array
from typing import Any

_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_FORMATS = {_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f"}
_ALIGNMENT = 32
_WIDTH, _HEADS, _FORWARD, _CONTEXT = 32, 2, 64, 256


def model() -> bytes:
    """Return the content of a GGUF file, always the same."""
    tokens, kinds = _vocabulary()
    values: list[tuple[str, int, Any]] = [
        ("general.architecture", _STRING, "llama"),
        ("llama.context_length", _UINT32, _CONTEXT),
        ("llama.embedding_length", _UINT32, _WIDTH),
        ("llama.block_count", _UINT32, 1),
        ("llama.feed_forward_length", _UINT32, _FORWARD),
        ("llama.attention.head_count", _UINT32, _HEADS),
        ("llama.attention.layer_norm_rms_epsilon", _FLOAT32, 1e-5),
        ("llama.rope.dimension_count", _UINT32, _WIDTH // _HEADS),
        ("llama.vocab_size", _UINT32, len(tokens)),
        ("tokenizer.ggml.model", _STRING, "llama"),
        ("tokenizer.ggml.tokens", _ARRAY, (_STRING, tokens)),
        ("tokenizer.ggml.scores", _ARRAY, (_FLOAT32, [0.0] * len(tokens))),
        ("tokenizer.ggml.token_type", _ARRAY, (_INT32, kinds)),
        ("tokenizer.ggml.unknown_token_id", _UINT32, 0),
        ("tokenizer.ggml.bos_token_id", _UINT32, 1),
        ("tokenizer.ggml.eos_token_id", _UINT32, 2),
    ]
    tensors = _tensors(len(tokens))
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


def _vocabulary() -> tuple[list[str], list[int]]:
    """Return tokens and their types (1 normal, 2 unknown, 3 control, 6 a byte)."""
    letters = ["▁", *(chr(code) for code in range(0x21, 0x7F))]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    return tokens, [2, 3, 3, *[6] * 256, *[1] * len(letters)]


def _tensors(vocabulary: int) -> list[tuple[str, tuple[int, ...], bytes]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (_WIDTH, vocabulary),
        "blk.0.attn_norm.weight": (_WIDTH,),
        "blk.0.attn_q.weight": (_WIDTH, _WIDTH),
        "blk.0.attn_k.weight": (_WIDTH, _WIDTH),
        "blk.0.attn_v.weight": (_WIDTH, _WIDTH),
        "blk.0.attn_output.weight": (_WIDTH, _WIDTH),
        "blk.0.ffn_norm.weight": (_WIDTH,),
        "blk.0.ffn_gate.weight": (_WIDTH, _FORWARD),
        "blk.0.ffn_up.weight": (_WIDTH, _FORWARD),
        "blk.0.ffn_down.weight": (_FORWARD, _WIDTH),
        "output_norm.weight": (_WIDTH,),
        "output.weight": (_WIDTH, vocabulary),
    }
    chance = random.Random(1)
    found = []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        norm = name.endswith("norm.weight")
        numbers = [1.0 if norm else chance.gauss(0, 0.1) for _ in range(count)]
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
