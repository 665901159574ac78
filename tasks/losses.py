"""What a host alone holds, and a machine that is made anew would not have. Reads only."""

from pyinfra import host

from workstation import context
from workstation.operations import losses

losses.show(host, context.load(host))
