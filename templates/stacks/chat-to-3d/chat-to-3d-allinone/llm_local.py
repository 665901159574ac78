"""The backend ``transformers`` of the LLM service: a model in this process, one chat at a time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from answers import ApiError, end_if_lost
from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from llm_model import Model, ModelError, Wish, load
from options import one_line
from pydantic import BaseModel, Field, ValidationError
from stops import Stops

_AGAIN = 60.0
"""Seconds until loading is tried again: a missing folder or memory of the GPU may come."""
_TOKENS = 1024
"""Tokens of an answer, unless a client says how many."""


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def plain(self) -> dict[str, str]:
        content = self.content
        text = content if isinstance(content, str) else "\n".join(one.text for one in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _Chat(BaseModel):
    """What a client may say; other fields of OpenAI's API are ignored."""

    messages: list[_Message] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: Literal[1, None] = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False


@dataclass
class _End:
    """How an answer ended."""

    reason: str
    prompt_tokens: int
    tokens: int


class Local:
    """A model that is loaded in the background."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._model: Model | None = None
        self._problem = "The LLM is being loaded, which may take minutes."
        # One thread: one chat at a time, in the order in which they came.
        self._pool = ThreadPoolExecutor(1)
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        while self._model is None:
            began = time.monotonic()
            try:
                self._model = load(self._name)
            except ModelError as error:
                self._problem = str(error)
            except Exception as error:
                # Whatever the libraries raise: the page and the health show it.
                kind = type(error).__name__
                self._problem = (
                    f"LLM_MODEL {self._name} cannot be loaded: {kind}: {one_line(error)}."
                )
            if self._model is None:
                print(f"{self._problem} Trying again in {_AGAIN:.0f} s.", flush=True)
                time.sleep(_AGAIN)
            else:
                took = time.monotonic() - began
                print(f"{self._name} is loaded on {self._model.device}, {took:.0f} s", flush=True)

    async def problem(self) -> str:
        """Return why chats cannot be answered; empty if they can."""
        return "" if self._model else self._problem

    async def models(self) -> list[str]:
        """Return the one name."""
        return [self._name]

    async def chat(self, request: Request, body: dict[str, Any]) -> Response:
        """Answer, at once or piece by piece. Raises ApiError."""
        try:
            chat = _Chat.model_validate(body)
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(str(part) for part in wrong["loc"])
            raise ApiError(400, f"{place}: {wrong['msg']}.") from None
        stop = [chat.stop] if isinstance(chat.stop, str) else chat.stop or []
        wish = Wish(
            [message.plain() for message in chat.messages],
            chat.max_completion_tokens or chat.max_tokens or _TOKENS,
            chat.temperature,
            chat.top_p,
            chat.seed,
        )
        pieces = self._pieces(wish, Stops(stop), request.is_disconnected)
        # Errors that come before the first piece, such as a prompt that is too long, have a status.
        first = await anext(pieces)
        if chat.stream:
            return StreamingResponse(self._events(first, pieces), media_type="text/event-stream")
        text, end = "", first
        while not isinstance(end, _End):
            text += end
            end = await anext(pieces)
        message = {"index": 0, "message": {"role": "assistant", "content": text}}
        return JSONResponse(
            {
                **self._head("chat.completion"),
                "choices": [{**message, "finish_reason": end.reason}],
                "usage": {
                    "prompt_tokens": end.prompt_tokens,
                    "completion_tokens": end.tokens,
                    "total_tokens": end.prompt_tokens + end.tokens,
                },
            }
        )

    def _head(self, kind: str) -> dict[str, Any]:
        made = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
        return {**made, "object": kind, "model": self._name}

    async def _events(
        self, piece: str | _End, pieces: AsyncIterator[str | _End]
    ) -> AsyncIterator[str]:
        """Yield an answer as server-sent events, as OpenAI's API does."""
        head = self._head("chat.completion.chunk")

        def event(delta: dict[str, str], reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

        yield event({"role": "assistant", "content": ""})
        try:
            while not isinstance(piece, _End):
                if piece:
                    yield event({"content": piece})
                piece = await anext(pieces)
            yield event({}, piece.reason)
        except ApiError as error:
            said = {"message": error.sentence, "type": "server_error"}
            yield f"data: {json.dumps({'error': said})}\n\n"
        yield "data: [DONE]\n\n"

    async def _pieces(
        self, wish: Wish, stops: Stops, gone: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[str | _End]:
        """Yield an answer's pieces, and how it ended. Ends early if the client has gone."""
        if self._model is None:
            raise ApiError(503, self._problem)
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | _End | ApiError]()
        ended = threading.Event()

        def put(one: str | _End | ApiError) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, one)

        self._pool.submit(_work, self._model, wish, stops, put, ended)
        try:
            while True:
                try:
                    one = await asyncio.wait_for(queue.get(), 1)
                except TimeoutError:
                    if await gone():
                        raise ApiError(499, "The client has gone.") from None
                    continue
                if isinstance(one, ApiError):
                    raise one
                yield one
                if isinstance(one, _End):
                    return
        finally:
            ended.set()


def _work(
    model: Model,
    wish: Wish,
    stops: Stops,
    put: Callable[[str | _End | ApiError], None],
    ended: threading.Event,
) -> None:
    """Answer a chat in a thread of its own; pieces, and the end or an error, are put."""

    def piece(text: str) -> None:
        if ready := stops.add(text):
            put(ready)
        if stops.stopped:
            ended.set()

    # A client that went while it waited for its turn.
    if ended.is_set():
        return
    try:
        used = model.answer(wish, piece, ended)
    except ModelError as error:
        put(ApiError(error.status, str(error), error.code))
        return
    except Exception as error:
        # The libraries' own errors; whoever asked is told, and the service goes on.
        end_if_lost(error)
        put(ApiError(500, f"The LLM failed: {type(error).__name__}: {one_line(error)}."))
        return
    if rest := stops.end():
        put(rest)
    put(
        _End(
            "length" if used.cut and not stops.stopped else "stop", used.prompt_tokens, used.tokens
        )
    )
