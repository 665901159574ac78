"""pyinfra's own configuration: loaded before the inventory, from the working directory."""

from __future__ import annotations

from pyinfra import config

from workstation import hooks

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

hooks.install()
