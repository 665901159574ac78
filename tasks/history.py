"""The last runs on a host; ``--data history=3``: one in full; ``--data history=2,5``: what differs.

Reads only. 1 is the last run.
"""

from pyinfra import host

from workstation import context
from workstation.operations import receipts

receipts.show(host, context.load(host).settings.history)
