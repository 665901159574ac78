"""The LLM of the page, as an OpenAI API on 127.0.0.1:19002.

LLM_BACKEND is ``transformers`` (the model LLM_MODEL, in this process) or ``url`` (passes on to the
OpenAI API at LLM_URL). Any model name in a request is accepted: there is one model.
"""

from __future__ import annotations

from typing import Any, Protocol

import uvicorn
from answers import ApiError, application, health
from fastapi import FastAPI, Request
from fastapi.responses import Response
from options import LLM, Options, options


class Backend(Protocol):
    """Who answers."""

    async def problem(self) -> str:
        """Return a sentence that says why chats cannot be answered; empty if they can."""

    async def models(self) -> list[str]:
        """Return the names of its models. Raises ApiError."""

    async def chat(self, request: Request, body: dict[str, Any]) -> Response:
        """Answer a chat. Raises ApiError."""


def backend(given: Options) -> Backend:
    """Return the backend that the environment asks for. Ends the program if there is none such."""
    match given.text("LLM_BACKEND", "transformers"):
        case "transformers":
            from llm_local import Local

            return Local(given.text("LLM_MODEL"))
        case "url":
            from llm_passing import Passing

            return Passing(given)
        case other:
            raise SystemExit(f"LLM_BACKEND is {other!r}: set it to transformers or url.")


def service(answering: Backend) -> FastAPI:
    """Return the application."""
    app = application("chat-to-3d: LLM")

    @app.get("/v1/health/ready")
    async def ready() -> Response:
        return health(await answering.problem())

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = await answering.models()
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "chat-to-3d"}
            for name in names
        ]
        return {"object": "list", "data": data}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            raise ApiError(400, "The request is not JSON.") from None
        if not isinstance(body, dict):
            raise ApiError(400, "The request is not a JSON object.")
        if problem := await answering.problem():
            raise ApiError(503, problem)
        return await answering.chat(request, body)

    return app


def main() -> None:
    """Serve until told to stop."""
    given = options()
    uvicorn.run(
        service(backend(given)),
        host="127.0.0.1",
        port=given.port(LLM),
        # The page asks for the health every few seconds.
        access_log=False,
        # An answer that is being written would hold up the end.
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
