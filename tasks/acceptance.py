"""Acceptance: every promise of the stacks, checked on the machine, with a table and a report."""

from pyinfra import host

from workstation import context
from workstation.operations import acceptance
from workstation.run import current

acceptance.verify(name="Acceptance", machine=context.load(host), phases=current().seconds)
