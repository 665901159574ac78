"""Reads files that a person names or writes, without a traceback and without waiting forever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from workstation.errors import UserError

LIMIT = 2**20
"""Largest size in bytes of a file of settings, pins or a mirror; real ones have less than a tenth
of it."""


def path_of(text: str) -> Path:
    """Return the path that a person wrote, with ``~`` expanded if such a user exists."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Return whether the path exists, even as a broken link; never raises."""
    return os.path.lexists(path) if "\0" not in str(path) else False


def is_file(path: Path) -> bool:
    """Return whether the path is a regular file, or a link to one; never raises."""
    return os.path.isfile(path) if "\0" not in str(path) else False


def read(path: Path, limit: int = LIMIT) -> bytes:
    """Return the content of a file.

    + limit: largest size in bytes

    Raises OSError, whose ``strerror`` gives a person the reason. Pipes and devices raise it too,
    because reading them might never end.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its name contains a NUL character")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        folder = stat.S_ISDIR(status.st_mode)
        raise OSError(errno.EINVAL, "Is a directory" if folder else "Is not a regular file")
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"It is larger than {limit} bytes")
    return path.read_bytes()


def read_text(path: Path, limit: int = LIMIT) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises OSError as ``read`` does, or UnicodeDecodeError.
    """
    return read(path, limit).decode("utf-8-sig")


def text(path: Path, kind: type[UserError]) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises an error of this kind with the reason, and the line of what is not UTF-8.
    """
    try:
        return read_text(path)
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}.", id="file-unreadable") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise kind(
            f"{path} line {line} is not UTF-8: save the file as UTF-8.", id="file-not-utf8"
        ) from None
