"""pyinfra's command line, with a made-up answer to every query: the machine is ready for stacks,
but has none of them.

    python -m tests.unit.ready_machine inventory.py deploy.py --dry

``WITHOUT_MODELS`` in the environment removes the models. Run it from a checkout whose
``workstation`` comes first in Python's path.
"""

from __future__ import annotations

import os

import pyinfra
from pyinfra.api.host import Host
from pyinfra_cli.main import cli

from tests.unit.test_preflight import converged
from workstation.facts.weights import ModelFiles, Weights


def models(paths: list[str]) -> dict[str, Weights]:
    """Return a GGUF file for each requested model, or none."""
    there = Weights("file", 9, "4747554603000000")
    return dict.fromkeys(paths, Weights() if "WITHOUT_MODELS" in os.environ else there)


def main() -> None:
    machine = converged()
    machine.facts[ModelFiles] = models
    Host.get_fact = lambda self, fact, **asked: machine.get_fact(fact, **asked)
    pyinfra.is_cli = True
    cli()


if __name__ == "__main__":
    main()
