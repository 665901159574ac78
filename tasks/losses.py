"""The data that exist only on a host, and that a rebuilt machine would not have. It changes
nothing."""

from pyinfra import host

from workstation import context
from workstation.operations import losses

losses.show(host, context.load(host))
