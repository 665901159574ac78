"""Proof: what the stacks promise, checked on the machine, with a table and a report at the end."""

from pyinfra import host

from workstation import context
from workstation.operations import acceptance
from workstation.run import current

acceptance.verify(name="Acceptance", machine=context.load(host), phases=current().seconds)
