"""A causal language model of the library transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from options import one_line, split_revision


class ModelError(Exception):
    """A failure with one sentence that says what to do."""

    def __init__(self, sentence: str, status: int = 503, code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Wish:
    """A chat to answer: messages with ``role`` and ``content``, and how (None: the model's way)."""

    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Used:
    """What an answer took; cut: it ended because of ``max_tokens``."""

    prompt_tokens: int
    tokens: int
    cut: bool


class Model:
    """A loaded model with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._context = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    @property
    def device(self) -> str:
        """Where it computes, such as ``cuda:0``."""
        return str(self._model.device)

    def _prompt(self, wish: Wish) -> dict[str, Any]:
        """Return what the model reads; other things that tokenizers make, it may refuse."""
        try:
            made = self._tokenizer.apply_chat_template(
                wish.messages,
                add_generation_prompt=True,
                return_tensors="pt",
                return_dict=True,
                # Models that can think aloud do so unless their template is told not to.
                enable_thinking=False,
            )
        except Exception as error:
            # Templates raise errors of their own, such as for a role that they do not know.
            sentence = f"The model's chat template refuses these messages: {one_line(error)}."
            raise ModelError(sentence, 400) from None
        return {name: made[name].to(self._model.device) for name in ("input_ids", "attention_mask")}

    def answer(self, wish: Wish, piece: Callable[[str], None], ended: threading.Event) -> Used:
        """Call ``piece`` with each piece of an answer, until it ends or ``ended`` is set.

        Raises ModelError.
        """
        import torch
        from transformers import StoppingCriteriaList

        prompt = self._prompt(wish)
        size = int(prompt["input_ids"].shape[1])
        most = wish.max_tokens
        if self._context:
            most = min(most, self._context - size)
        if most < 1:
            raise ModelError(
                f"The messages have {size} tokens, and the model reads {self._context} at most.",
                400,
                "context_length_exceeded",
            )
        sampling: dict[str, Any] = {}
        if wish.temperature == 0:
            sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        else:
            sampling = {"do_sample": True}
            sampling |= {"temperature": wish.temperature} if wish.temperature else {}
            sampling |= {"top_p": wish.top_p} if wish.top_p else {}
        if wish.seed is not None:
            # PyTorch takes 64 bits, with or without a sign.
            torch.manual_seed(wish.seed % 2**63)
        pad = self._tokenizer.pad_token_id
        try:
            with torch.inference_mode():
                made = self._model.generate(
                    **prompt,
                    **sampling,
                    max_new_tokens=most,
                    pad_token_id=self._tokenizer.eos_token_id if pad is None else pad,
                    streamer=_pieces(self._tokenizer, piece),
                    stopping_criteria=StoppingCriteriaList([lambda *_, **__: _all(ended)]),
                )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise ModelError(
                "The GPU's memory does not suffice for this answer: choose a smaller LLM_MODEL, or"
                " LLM_BACKEND=url."
            ) from None
        tokens = int(made.shape[1]) - size
        return Used(size, tokens, tokens >= most)


def _all(ended: threading.Event) -> Any:
    """Return for the one sequence whether it is to end."""
    import torch

    return torch.tensor([ended.is_set()])


def _pieces(tokenizer: Any, piece: Callable[[str], None]) -> Any:
    from transformers import TextStreamer

    class Pieces(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            piece(text)

    return Pieces(tokenizer, skip_prompt=True, skip_special_tokens=True)


def load(name: str) -> Model:
    """Load a model: a folder, or ``name`` or ``name@revision`` on the Hugging Face Hub.

    Raises ModelError, or whatever transformers raises.
    """
    if not name:
        raise ModelError(
            "LLM_MODEL is empty: set it to a folder or a name on the Hugging Face Hub."
        )
    if name.startswith("/") and not (Path(name) / "config.json").is_file():
        raise ModelError(
            f"LLM_MODEL {name} has no config.json: put the model there (docs/chat-to-3d.md)."
        )
    import torch
    import transformers

    library: Any = transformers

    where, revision = split_revision(name)
    given = {"revision": revision} if revision else {}
    gpu = torch.cuda.is_available()
    tokenizer = library.AutoTokenizer.from_pretrained(where, **given)
    if not tokenizer.chat_template:
        raise ModelError(f"LLM_MODEL {name} has no chat template: choose an instruct model.")
    try:
        model = library.AutoModelForCausalLM.from_pretrained(
            where,
            dtype=torch.bfloat16 if gpu else torch.float32,
            device_map={"": "cuda:0" if gpu else "cpu"},
            **given,
        )
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        raise ModelError(
            f"The GPU's memory does not suffice for LLM_MODEL {name}: choose a smaller one, or"
            " LLM_BACKEND=url."
        ) from None
    return Model(model.eval(), tokenizer)
