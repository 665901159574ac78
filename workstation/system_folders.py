"""The folders of the operating system, which no setting, link or mount may hand to a service.

Sources: hier(7), file-hierarchy(7), and what Debian's and Ubuntu's packages create.
"""

from __future__ import annotations

import re

_TREES = re.compile(
    r"/(bin|boot|dev|efi|etc|lib|lib32|lib64|libx32|lost\+found|proc|run|sbin|snap|sys|usr)(/.*)?"
    r"|/var/(lock|run)(/.*)?"
)
_DATA_OF_SERVICES = re.compile(r"/var/lib/(apt|containerd|docker|dpkg|private|systemd)(/.*)?")
# Many programs and people have folders there: each of those may be handed over, but not all at
# once. A home folder contains its user's SSH keys.
_SHARED = re.compile(
    r"/|/(home|media|mnt|opt|root|srv|tmp|var)|/home/[^/]+"
    r"|/var/(backups|cache|crash|lib|local|log|mail|opt|spool|tmp|www)"
)
# Ollama's installer, for one, keeps models in /usr/share/ollama.
_OF_PROGRAMS = re.compile(
    r"/usr/share/[^/]+(/.*)?|/usr/local/(?!(bin|etc|games|include|lib|libexec|man|sbin|src)(/|$))"
    r"[^/]+(/.*)?"
)


def holds_system(path: str) -> bool:
    """Return whether everything at an absolute path is the system's, never somebody's data."""
    return _TREES.fullmatch(path) is not None


def is_system(path: str) -> bool:
    """Return whether an absolute path belongs to the system: a run creates nothing there and
    changes no owner or mode."""
    return any(one.fullmatch(path) for one in (_TREES, _DATA_OF_SERVICES, _SHARED))


def may_be_set(path: str) -> bool:
    """Return whether a setting may name an absolute path as a folder for a service."""
    return not is_system(path) or (
        path != "/usr/local/share" and _OF_PROGRAMS.fullmatch(path) is not None
    )
