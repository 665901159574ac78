"""The unit of the native Ollama, and the drop-in that keeps it on loopback."""

from __future__ import annotations

from workstation.render import template
from workstation.settings import Settings
from workstation.units.files import UnitFile

BINARY = "/usr/local/bin/ollama"
"""A link to the release in use."""

RELEASES = "/opt/ollama"
"""Where the releases are unpacked, each in its own folder."""

USER = "ollama"

UNIT = "/etc/systemd/system/ollama.service"
DROP_IN = f"{UNIT}.d/zz-ai-workstation.conf"


def unit() -> UnitFile:
    """Return the unit file."""
    return UnitFile(UNIT, template("ollama/ollama.service.j2"))


def drop_in(settings: Settings) -> UnitFile:
    """Return the drop-in, which sorts after most others."""
    text = template(
        "ollama/drop-in.conf.j2",
        models=settings.ollama_models,
        port=settings.ollama_port,
        environment=settings.ollama_environment,
    )
    return UnitFile(DROP_IN, text)
