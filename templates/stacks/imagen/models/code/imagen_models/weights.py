"""Finds the weights of a model in the model store."""

from __future__ import annotations

import os
from pathlib import Path

from imagen_models import RefusalError, messages


def variable(model: str) -> str:
    """Return the environment variable with the path of a model's weights; in lower case, it is the
    setting's name."""
    return f"{model.upper()}_MODEL"


def path(model: str) -> Path:
    """Return the path of a model's weights. Raises RefusalError if its variable is empty."""
    name = variable(model)
    if not os.environ.get(name):
        raise RefusalError(messages.missing(f"The variable {name}", name.lower(), "is empty"))
    return Path(os.environ[name])


def file(model: str, *names: str) -> Path:
    """Return the file with a model's weights: its path, or the first of ``names`` that is in the
    folder there. Raises RefusalError if there is none that can be read."""
    given = path(model)
    setting = variable(model).lower()
    found = next((one for name in names if (one := given / name).exists()), given)
    if found.is_dir():
        expected = " or ".join(names) or "a file"
        raise RefusalError(messages.missing(str(given), setting, f"is a folder without {expected}"))
    _check(found, setting)
    return found


def folder(model: str) -> Path:
    """Return a model's folder in the form of diffusers. Raises RefusalError if it is none."""
    given = path(model)
    setting = variable(model).lower()
    index = given / "model_index.json"
    if given.is_dir() and not index.exists():
        raise RefusalError(messages.missing(str(given), setting, f"has no {index.name}"))
    _check(index if given.is_dir() else given, setting)
    if not given.is_dir():
        raise RefusalError(messages.missing(str(given), setting, "is no folder"))
    return given


def _check(found: Path, setting: str) -> None:
    """Raise RefusalError unless a file can be read."""
    try:
        found.open("rb").close()
    except FileNotFoundError:
        raise RefusalError(messages.missing(str(found), setting, "is not there")) from None
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise RefusalError(messages.missing(str(found), setting, why)) from None
