"""Language models of some kilobytes: one answers with nonsense, the other with a list."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.lab import gguf

_CERTAIN = 100.0
"""A logit above all others, by so much that no temperature makes another token likely."""


def model() -> bytes:
    """Return the content of a GGUF file with random weights, always the same."""
    chance = random.Random(1)
    return gguf.file(
        gguf.letters(), 32, lambda _, count: [chance.gauss(0, 0.1) for _ in range(count)]
    )


def list_model(names: Sequence[str]) -> bytes:
    """Return a model that answers anything with a numbered list of names, and what ends with a
    question mark with QUESTION. Neither temperature nor seed changes that.

    Each line of the list is one token. The next token follows from the last one alone: a token's
    embedding is 1 at its state and 0 elsewhere, attention and the feed-forward part add 0, and the
    output is large where a state and its next token meet.
    """
    tokens = gguf.letters()
    mark, first = tokens.index("?"), len(tokens)
    tokens += [f"{number}. {name}\n".replace(" ", "▁") for number, name in enumerate(names, 1)]
    tokens.append("QUESTION")
    last, question = len(tokens) - 2, len(tokens) - 1
    # State 0 is that of every other token, of which <unk> is one.
    following = {0: first, mark: question, **{one: one + 1 for one in range(first, last)}}
    following |= {last: gguf.EOS, question: gguf.EOS}
    states = {token: state for state, token in enumerate(following)}
    width = -(-len(states) // 32) * 32

    def weights(name: str, count: int) -> list[float]:
        numbers = [0.0] * count
        if name == "token_embd.weight":
            for token in range(len(tokens)):
                numbers[token * width + states.get(token, 0)] = 1.0
        if name == "output.weight":
            for token, after in following.items():
                numbers[after * width + states[token]] = _CERTAIN
        return numbers

    # Of the messages, the last alone is read: what came before would only cost time.
    template = "{{ messages[-1]['content'] }}"
    return gguf.file(tokens, width, weights, context=4096, template=template)
