"""The latest runs on a host; ``--data history=3``: one in full; ``--data history=2,5``: how two
differ.

It changes nothing. 1 is the most recent run.
"""

from pyinfra import host

from workstation import context
from workstation.operations import receipts

receipts.show(host, context.load(host).settings.history)
