"""Errors of the LLM service in the form of OpenAI's API, and of both services' health."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class ApiError(Exception):
    """What a client is told: an HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.code = code


def error(status: int, sentence: str, code: str = "") -> JSONResponse:
    """Return an error as OpenAI's clients read it, with the sentence as ``detail`` as well."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"message": sentence, "type": kind, "param": None, "code": code or None}
    return JSONResponse({"error": body, "detail": sentence}, status)


def health(problem: str) -> JSONResponse:
    """Return whether a service is ready: 200, or 503 with the reason."""
    if problem:
        return JSONResponse({"status": "not ready", "message": problem}, 503)
    return JSONResponse({"status": "ready", "message": "Service is ready."})


def application(title: str) -> FastAPI:
    """Return an application without pages, whose errors all have one form."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(ApiError)
    async def told(_: Request, problem: ApiError) -> JSONResponse:
        return error(problem.status, problem.sentence, problem.code)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return error(400, f"{place or 'The request'}: {first['msg']}.")

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, problem: HTTPException) -> JSONResponse:
        return error(problem.status_code, f"{problem.detail}.")

    @app.get("/v1/health/live")
    async def live() -> dict[str, Any]:
        return {"status": "live", "message": "Service is live."}

    return app


def end_if_lost(problem: Exception) -> None:
    """End the program after an error of CUDA's, after which all calls of this process would fail:
    supervisord starts it again."""
    if "CUDA error" in str(problem):
        print(f"The GPU cannot be used any more: {problem}. Starting again.", flush=True)
        os._exit(1)
