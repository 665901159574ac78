"""What an error means for a job: a sentence for the person, and whether trying again may help.

Pure: knows errors by the names of their classes and by their texts, so it needs none of the
libraries that raise them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """What an error means.

    + sentence: what the person reads
    + passing: whether the same job may succeed later
    + full: whether the object store has no space left
    """

    sentence: str
    passing: bool = False
    full: bool = False


FULL = (
    "The object store is full, so the picture could not be stored: free space on the disk of the"
    " volume storage-data, then send it again."
)
_FULL = ("no space left on device", "disk quota exceeded", "insufficient storage")

# google.api_core.exceptions, requests.exceptions, urllib3.exceptions and Python's own.
_AWAY = {
    *("ServiceUnavailable", "RetryError", "DeadlineExceeded", "GatewayTimeout", "BadGateway"),
    *("TooManyRequests", "Aborted", "InternalServerError", "Unknown", "Cancelled"),
    *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectTimeout"),
    *("ReadTimeout", "Timeout", "TimeoutError", "MaxRetryError", "ProtocolError", "TransportError"),
    *("RemoteDisconnected", "ChunkedEncodingError"),
}

# tritonclient.utils.InferenceServerException: status() is the name of the gRPC status.
_TRITON_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
# Triton's server and python backend, while a model loads or its process is started again.
_TRITON_LOADING = ("unknown model", "is not ready", "stub process", "unhealthy", "exiting")
_TRITON_MEMORY = ("out of memory",)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def has(error: BaseException, *names: str) -> bool:
    """Return whether an error, or one that caused it, is of a class with one of these names."""
    return any(base.__name__ in names for one in chain(error) for base in type(one).__mro__)


def judged(error: BaseException) -> Failure:
    """Return what an error of a job means."""
    text = " ".join(str(one) for one in chain(error)).lower()
    if any(sign in text for sign in _FULL):
        return Failure(FULL, full=True)
    for one in chain(error):
        if type(one).__name__ == "InferenceServerException":
            return _of_triton(one)
    stored = has(error, "StorageError")
    if stored and has(error, "NotFound"):
        return Failure("The picture is no longer in the object store: send it again.")
    if has(error, *_AWAY):
        part = "object store" if stored else "store of job states (Firestore)"
        return Failure(f"The {part} cannot be reached.", passing=True)
    if has(error, "UnidentifiedImageError", "DecompressionBombError"):
        return Failure("The model's answer is not a picture.")
    return Failure(f"{type(error).__name__}: {_line(str(error))}")


def _of_triton(error: BaseException) -> Failure:
    status = str(getattr(error, "status", lambda: "")())
    text = str(error)
    lower = text.lower()
    if any(sign in lower for sign in _TRITON_MEMORY):
        return Failure(
            f"The GPU has too little memory for this picture: {_line(text)} Send a smaller picture,"
            " or load fewer models."
        )
    if any(sign in status for sign in _TRITON_AWAY):
        return Failure("Triton cannot be reached.", passing=True)
    if any(sign in lower for sign in _TRITON_LOADING):
        return Failure(f"Triton's model is not ready: {_line(text)}", passing=True)
    return Failure(f"The model failed: {_line(text)}")


def _line(text: str) -> str:
    """Return a text as one line of at most 300 characters that ends as a sentence does."""
    line = " ".join(text.split())[:300]
    return line if line.endswith((".", "!", "?")) else f"{line}."
