"""The backend ``url`` of the LLM service: passes chats on to another OpenAI API."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from answers import ApiError
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from options import Options, one_line, without_password

_KEY = "/run/secrets/llm_api_key"
_ANSWER = 300
"""Seconds for an answer. A first one may have to wait until the server has loaded its model."""
_FRESH = 3.0
"""Seconds for which an answer to "are you ready" holds: every open page asks every 5 seconds."""


class Passing:
    """The API at LLM_URL, such as Ollama's ``http://host:11434/v1``."""

    def __init__(self, given: Options) -> None:
        self._url = given.text("LLM_URL").rstrip("/")
        self._model = given.text("LLM_MODEL")
        self._key = Path(given.text("LLM_API_KEY_FILE", _KEY))
        self._shown = without_password(self._url)
        self._asked, self._problem = 0.0, ""
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(_ANSWER, connect=5))

    def _headers(self) -> dict[str, str]:
        """Return the key, if there is one; read anew each time, as a secret may be replaced."""
        try:
            key = self._key.read_text().strip()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeError) as error:
            kind = type(error).__name__
            raise ApiError(503, f"The key in {self._key} cannot be read ({kind}).") from None
        return {"Authorization": f"Bearer {key}"} if key else {}

    async def problem(self) -> str:
        """Return why LLM_URL cannot be used; empty if it can."""
        if not self._url:
            return "LLM_URL is empty: set it to the base of an OpenAI API, such as http://host:11434/v1."
        if time.monotonic() - self._asked > _FRESH:
            try:
                await self.models()
            except ApiError as error:
                self._problem = error.sentence
            else:
                self._problem = ""
            self._asked = time.monotonic()
        return self._problem

    async def models(self) -> list[str]:
        """Return the names of the server's models. Raises ApiError."""
        answer = await self._send("GET", "/models", None, 10)
        try:
            names = [str(one["id"]) for one in answer.json()["data"]]
        except (ValueError, KeyError, TypeError):
            raise ApiError(
                502,
                f"LLM_URL {self._shown} is no OpenAI API: GET /models has no list of models;"
                " check its path, which usually ends in /v1.",
            ) from None
        if not names and not self._model:
            raise ApiError(503, f"LLM_URL {self._shown} has no model: load one there.")
        return names

    async def chat(self, request: Request, body: dict[str, Any]) -> Response:
        """Pass a chat on, under the name that the model has there."""
        sent = {**body, "model": self._model or (await self.models())[0]}
        if body.get("stream") is not True:
            answer = await self._send("POST", "/chat/completions", sent, _ANSWER)
            return Response(answer.content, media_type="application/json")
        opened = await self._open("POST", "/chat/completions", sent, _ANSWER)
        return StreamingResponse(self._pieces(opened), media_type="text/event-stream")

    async def _pieces(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_bytes():
                yield piece
        except httpx.HTTPError as error:
            said = {"message": f"{self._failure(error)}", "type": "server_error"}
            yield f"data: {json.dumps({'error': said})}\n\n".encode()
        finally:
            await answer.aclose()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> httpx.Response:
        answer = await self._open(method, path, body, seconds)
        try:
            await answer.aread()
        except httpx.HTTPError as error:
            raise ApiError(502, self._failure(error)) from None
        finally:
            await answer.aclose()
        return answer

    async def _open(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> httpx.Response:
        """Return a good answer whose contents are still to be read. Raises ApiError."""
        try:
            request = self._client.build_request(
                *(method, self._url + path),
                json=body,
                headers=self._headers(),
                timeout=httpx.Timeout(seconds, connect=5),
            )
            answer = await self._client.send(request, stream=True)
            if answer.is_success:
                return answer
            text = (await answer.aread()).decode(errors="replace")
            await answer.aclose()
        except httpx.TimeoutException as error:
            raise ApiError(504, self._failure(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiError(503, self._failure(error)) from None
        status = answer.status_code
        sentence = f"LLM_URL {self._shown} answered {status}: {_message(text)}"
        if status in (401, 403):
            sentence += "; set the key of that server, llm_api_key"
        # Whoever asked has no wrong key: to answer 401 would say so.
        raise ApiError(502 if status in (401, 403) else status, f"{sentence}.")

    def _failure(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            return f"LLM_URL {self._shown} cannot be reached: {one_line(error) or 'no answer'}."
        if isinstance(error, httpx.TimeoutException):
            return f"LLM_URL {self._shown} took too long to answer."
        return f"LLM_URL {self._shown} failed: {one_line(error) or type(error).__name__}."


def _message(text: str) -> str:
    """Return what a server says of an error, in any of the usual forms."""
    try:
        said = json.loads(text)
    except ValueError:
        return one_line(text) or "nothing else"
    found = said
    for key in ("error", "detail", "message"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    return one_line(found)
