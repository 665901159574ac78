"""pyinfra's own configuration: loaded before the inventory, from the working directory."""

from __future__ import annotations

from pyinfra import config

from workstation import guards

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

guards.install()
