"""pyinfra's command line, with every answer of the machine given: one on which all is ready for
stacks, and none of them is there.

    python -m tests.unit.ready_machine inventory.py deploy.py --dry

``WITHOUT_MODELS`` in the environment takes the models away. Run from a checkout whose
``workstation`` comes first on the path of Python.
"""

from __future__ import annotations

import os

import pyinfra
from pyinfra.api.host import Host
from pyinfra_cli.main import cli

from tests.unit.test_preflight import converged
from workstation.facts.weights import ModelFiles, Weights


def models(paths: list[str]) -> dict[str, Weights]:
    """Return a GGUF file for each model that is asked for, or none."""
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
