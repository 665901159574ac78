"""pyinfra's configuration, loaded from the working directory before the inventory."""

from __future__ import annotations

from pyinfra import config

from workstation import hooks

config.REQUIRE_PYINFRA_VERSION = "~=3.10"

hooks.install()
