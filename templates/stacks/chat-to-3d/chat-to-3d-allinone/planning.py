"""Corrects how upstream talks to the LLM."""

from __future__ import annotations

import functools
import html
from typing import Any

from corrections import corrects, present
from names import listed
from options import LLM, TRELLIS, Options, one_line

MOST = 20
"""Objects that the page has room for (``MAX_CARDS``)."""

_ANSWER = 320
"""Seconds for one answer: a little more than the LLM service gives its own server."""
_TRIES = 6
"""Of a lost connection, 2 to 4 seconds apart: the time in which the LLM service starts again."""


@corrects("services", "objects", "outputs")
def correct_config(given: Options) -> None:
    """Set upstream's constants. Has to come before the import of what reads them."""
    import config

    for name, value in {
        "AGENT_BASE_URL": f"{given.address(LLM)}/v1",
        "TRELLIS_BASE_URL": f"{given.address(TRELLIS)}/v1",
        "NUM_OF_OBJECTS": max(1, min(given.number("OBJECTS", MOST), MOST)),
        "GENERATED_IMAGES_DIR": given.outputs / "images",
        "MODELS_DIR": given.outputs / "models",
        "ASSETS_DIR": given.outputs / "exports",
    }.items():
        if present("services, objects or outputs", config, name):
            setattr(config, name, value)
    for folder in ("images", "models", "exports"):
        (given.outputs / folder).mkdir(parents=True, exist_ok=True)


@corrects("tokenizer", "llm-reasons")
def correct_driver() -> None:
    """Give griptape's driver a tokenizer without downloads, and a client that fails in time."""
    from services import agent_service

    if not present("tokenizer", agent_service, "OpenAiChatPromptDriver"):
        return
    import openai
    from griptape.tokenizers import SimpleTokenizer

    original = agent_service.OpenAiChatPromptDriver

    def driver(**values: Any) -> Any:
        client = openai.OpenAI(
            base_url=values.get("base_url"),
            api_key=values.get("api_key"),
            max_retries=0,
            timeout=_ANSWER,
        )
        # Four characters a token is OpenAI's rule of thumb. A conversation that grows longer loses
        # its oldest messages: many servers, such as Ollama, read 4,096 tokens by default.
        tokenizer = SimpleTokenizer(
            characters_per_token=4, max_input_tokens=3_000, max_output_tokens=1_000
        )
        ours = {
            "tokenizer": tokenizer,
            "client": client,
            "max_attempts": _TRIES,
            "max_retry_delay": 4,
            # What the service says holds; what it does not say may come.
            "ignored_exception_types": (openai.APIStatusError, openai.APITimeoutError),
        }
        return original(**{**ours, **values})

    agent_service.OpenAiChatPromptDriver = driver


class PlanningError(Exception):
    """The LLM failed; its text is a sentence."""


def sentence(error: BaseException) -> str:
    """Return what an error of the LLM means."""
    body = getattr(error, "body", None)
    if isinstance(body, dict) and body.get("message"):
        return one_line(body["message"]) + "."
    kind = type(error).__name__
    if kind == "APITimeoutError":
        return f"The LLM did not answer within {_ANSWER} s."
    if kind == "APIConnectionError":
        return "The LLM service does not answer; it is started again by itself: try again."
    return f"The LLM failed: {kind}: {one_line(error)}."


@corrects("llm-reasons", "names")
def correct_agent() -> None:
    """Make failures of the LLM end a scene with their reason, and clean the names of objects."""
    from services import agent_service

    agent, service = agent_service.LLMAgent, agent_service.AgentService
    if present("llm-reasons", agent, "run"):
        agent.run = _raising(agent.run)
    if present("llm-reasons", service, "classify_input", "generate_objects_and_prompts"):
        service.classify_input = _told_kind(service.classify_input)
        service.generate_objects_and_prompts = _told_end(service.generate_objects_and_prompts)
    if present("names", service, "_parse_objects_from_response"):
        service._parse_objects_from_response = _cleaned(service._parse_objects_from_response)


def _raising(original: Any) -> Any:
    """griptape returns an error as if it were an answer; here it is raised, and remembered."""
    from griptape.artifacts import ErrorArtifact

    @functools.wraps(original)
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        self.trouble = ""
        try:
            response = original(self, *arguments, **options)
        except Exception as error:
            self.trouble = sentence(error)
            raise
        output = response.output
        if isinstance(output, ErrorArtifact):
            self.trouble = sentence(output.exception or PlanningError(output.value))
            raise PlanningError(self.trouble)
        return response

    return run


def _trouble(service: Any) -> str:
    """Return why the last question to the LLM failed, as HTML; empty if it did not."""
    return html.escape(getattr(service.agent, "trouble", ""))


def _told_kind(original: Any) -> Any:
    """Without an answer, upstream takes any words for a scene and asks on."""

    @functools.wraps(original)
    def classify(self: Any, *arguments: Any) -> Any:
        found = original(self, *arguments)
        why = _trouble(self)
        return ("UNAVAILABLE", why) if why else found

    return classify


def _told_end(original: Any) -> Any:
    @functools.wraps(original)
    def generate(self: Any, *arguments: Any) -> Any:
        success, prompts, message = original(self, *arguments)
        if not success:
            message = _trouble(self) or f"{message}: the LLM's answer has no numbered list"
            # Otherwise the next scene would begin with the rest of this one.
            self.clear_memory()
        return success, prompts, message

    return generate


def _cleaned(original: Any) -> Any:
    @functools.wraps(original)
    def parse(self: Any, *arguments: Any) -> list[str]:
        import config

        return listed(original(self, *arguments), config.NUM_OF_OBJECTS)

    return parse
