"""Proof: what the stacks promise, checked on the machine, with a table at the end."""

from pyinfra import host

from workstation import context
from workstation.operations import acceptance

acceptance.verify(name="Acceptance", machine=context.load(host))
