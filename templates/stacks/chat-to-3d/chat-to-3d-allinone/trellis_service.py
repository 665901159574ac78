"""Makes 3D objects of pictures for the page, as NVIDIA's TRELLIS NIM does, on 127.0.0.1:8000.

TRELLIS_BACKEND is ``nim`` or ``url`` (passes on to the NIM, or its like, at TRELLIS_URL), ``local``
(local_3d.py, in this process) or ``none``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import httpx
import uvicorn
from answers import ApiError, application, end_if_lost, health
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from glb import wrong
from options import TRELLIS, Options, one_line, options, without_password
from pydantic import BaseModel, ConfigDict, Field

_FRESH = 3.0
"""Seconds for which an answer to "are you ready" holds: every open page asks every 5 seconds."""
_AGAIN = 60.0
"""Seconds until loading is tried again: a missing folder or memory of the GPU may come."""

NONE = (
    "There is no 3D on this machine (TRELLIS_BACKEND=none): set trellis to nim, url or local"
    " (docs/chat-to-3d.md)."
)


class Picture(BaseModel):
    """A request; the NIM knows more fields, which are passed on to it."""

    model_config = ConfigDict(extra="allow")

    image: str = Field(pattern=r"^data:image/[\w.+-]+;base64,")
    seed: int = Field(0, ge=0, lt=2**32)

    def contents(self) -> bytes:
        """Return the picture's file. Raises ApiError."""
        try:
            return base64.b64decode(self.image.partition(",")[2], validate=True)
        except binascii.Error:
            raise ApiError(422, "The picture is not valid base64.") from None


class Backend(Protocol):
    """Who makes the objects."""

    async def problem(self) -> str:
        """Return a sentence that says why none can be made; empty if they can."""

    async def make(self, picture: Picture) -> dict[str, Any]:
        """Return the answer, with ``artifacts``. Raises ApiError."""


class Nothing:
    """Refuses each picture. It counts as ready, so that the page can be used without 3D."""

    async def problem(self) -> str:
        """Return an empty text."""
        return ""

    async def make(self, _: Picture) -> dict[str, Any]:
        """Raise ApiError."""
        raise ApiError(503, NONE)


class Passing:
    """Passes pictures on to TRELLIS_URL, such as ``http://trellis:8000``."""

    def __init__(self, given: Options) -> None:
        self._url = given.text("TRELLIS_URL").rstrip("/").removesuffix("/v1")
        self._shown = without_password(self._url)
        self._seconds = given.timeout_3d
        self._asked, self._problem = 0.0, ""
        self._client = httpx.AsyncClient()

    async def problem(self) -> str:
        """Return why the server cannot be used; empty if it can."""
        if not self._url:
            return "TRELLIS_URL is empty: set it to the address of a TRELLIS NIM."
        if time.monotonic() - self._asked > _FRESH:
            try:
                answer = await self._send("GET", "/v1/health/ready", None, 10)
            except ApiError as error:
                self._problem = error.sentence
            else:
                ready = answer.is_success
                self._problem = "" if ready else f"{self._said(answer)}; it may still be loading."
            self._asked = time.monotonic()
        return self._problem

    async def make(self, picture: Picture) -> dict[str, Any]:
        """Pass a picture on. Raises ApiError."""
        body = picture.model_dump(exclude_unset=True)
        answer = await self._send("POST", "/v1/infer", body, self._seconds)
        if not answer.is_success:
            raise ApiError(502, f"{self._said(answer)}.")
        try:
            said: dict[str, Any] = answer.json()
            artifact = said["artifacts"][0]
            made = base64.b64decode(artifact.get("base64") or "")
            finished = artifact["finishReason"] == "SUCCESS"
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ApiError(502, f"TRELLIS_URL {self._shown} answered without artifacts.") from None
        if finished and (problem := wrong(made)):
            raise ApiError(502, f"TRELLIS_URL {self._shown} made no valid GLB file: {problem}.")
        return said

    async def _send(self, method: str, path: str, body: Any, seconds: float) -> httpx.Response:
        try:
            return await self._client.request(
                method,
                self._url + path,
                json=body,
                timeout=httpx.Timeout(seconds, connect=5),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            why = one_line(error) or "no answer"
            raise ApiError(503, f"TRELLIS_URL {self._shown} cannot be reached: {why}.") from None
        except httpx.TimeoutException:
            sentence = f"TRELLIS_URL {self._shown} took longer than {seconds:.0f} s (TIMEOUT_3D)."
            raise ApiError(504, sentence) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = one_line(error) or type(error).__name__
            raise ApiError(502, f"TRELLIS_URL {self._shown} failed: {why}.") from None

    def _said(self, answer: httpx.Response) -> str:
        try:
            said = answer.json()
            text = said.get("detail") or said.get("message") or said
            text = text if isinstance(text, str) else json.dumps(text)
        except (ValueError, AttributeError):
            text = answer.text
        return f"TRELLIS_URL {self._shown} answered {answer.status_code}: {one_line(text)}"


class Local:
    """Makes objects with local_3d.py, one at a time; it is loaded in the background."""

    def __init__(self) -> None:
        self._make: Any = None
        self._problem = "The 3D model is being loaded, which may take minutes."
        self._pool = ThreadPoolExecutor(1)
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        while self._make is None:
            began = time.monotonic()
            try:
                import local_3d

                local_3d.load()
            except RuntimeError as error:
                self._problem = one_line(error) + "."
            except Exception as error:
                # Whatever the libraries raise: the page and the health show it.
                kind = type(error).__name__
                self._problem = f"The 3D model cannot be loaded: {kind}: {one_line(error)}."
            else:
                self._make = local_3d.make
                took = time.monotonic() - began
                print(f"the 3D model is loaded, {took:.0f} s", flush=True)
                return
            print(f"{self._problem} Trying again in {_AGAIN:.0f} s.", flush=True)
            time.sleep(_AGAIN)

    async def problem(self) -> str:
        """Return why no objects can be made; empty if they can."""
        return "" if self._make else self._problem

    async def make(self, picture: Picture) -> dict[str, Any]:
        """Make an object. Raises ApiError."""
        loop, contents = asyncio.get_running_loop(), picture.contents()
        try:
            made = await loop.run_in_executor(self._pool, self._make, contents, picture.seed)
        except ValueError as error:
            raise ApiError(422, f"{one_line(error)}.") from None
        except RuntimeError as error:
            end_if_lost(error)
            raise ApiError(500, f"{one_line(error)}.") from None
        except Exception as error:
            # Whatever the libraries raise; whoever asked is told, and the service goes on.
            sentence = f"The 3D model failed: {type(error).__name__}: {one_line(error)}."
            raise ApiError(500, sentence) from None
        if problem := wrong(made):
            raise ApiError(500, f"The 3D model made no valid GLB file: {problem}.")
        text = base64.b64encode(made).decode()
        return {"artifacts": [{"base64": text, "finishReason": "SUCCESS", "seed": picture.seed}]}


def backend(given: Options) -> Backend:
    """Return the backend that the environment asks for. Ends the program if there is none such."""
    match given.text("TRELLIS_BACKEND", "none"):
        case "nim" | "url":
            return Passing(given)
        case "local":
            return Local()
        case "none":
            return Nothing()
        case other:
            raise SystemExit(f"TRELLIS_BACKEND is {other!r}: set it to nim, url, local or none.")


def service(making: Backend) -> FastAPI:
    """Return the application."""
    app = application("chat-to-3d: 3D")

    @app.get("/v1/health/ready")
    async def ready() -> Response:
        return health(await making.problem())

    @app.post("/v1/infer")
    async def infer(picture: Picture) -> JSONResponse:
        if problem := await making.problem():
            raise ApiError(503, problem)
        return JSONResponse(await making.make(picture))

    return app


def main() -> None:
    """Serve until told to stop."""
    given = options()
    uvicorn.run(
        service(backend(given)),
        host="127.0.0.1",
        port=given.port(TRELLIS),
        # The page asks for the health every few seconds.
        access_log=False,
        # An object that is being made would hold up the end.
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
