"""The tasks that need neither systemd nor Docker: the model store, and the stacks' files."""

from pyinfra import host, local

from lab.paths import REPOSITORY
from workstation import context
from workstation.needs import PROXY
from workstation.operations import compose

local.include(str(REPOSITORY / "tasks" / "storage.py"))

machine = context.load(host)
for stack in [machine.stack(PROXY), *machine.stacks()]:
    compose.laid_down(name=f"Files of {stack.model.name}", stack=stack)
