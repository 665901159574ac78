"""Where the lab keeps things: run state in the repository, big files in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GUEST = REPOSITORY / "lab" / "guest"
STATE = REPOSITORY / ".lab"


def cache() -> Path:
    """Return the cache folder, created if needed (`$XDG_CACHE_HOME/ai-workstation`)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "ai-workstation"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
