"""The stacks: files written, images built and pulled, containers up and healthy."""

from pyinfra import host

from workstation import context
from workstation.operations import ca, compose, disks, invokeai

machine = context.load(host)

if machine.needs.disks:
    disks.mounted(name="Disks of the stacks are mounted", folders=machine.needs.disks)

for stack in machine.stacks():
    project = stack.model.name
    compose.laid_down(name=f"Files of {project}", stack=stack)
    compose.up(
        name=f"Services of {project}",
        stack=stack,
        secrets=[f"id=ca,src={ca.BUILD_BUNDLE}"] if machine.ca_bundle() else [],
        sources=machine.pins.sources,
        attestations=machine.attestations(),
    )
    for service in stack.model.registering:
        invokeai.models_registered(
            name=f"Models of {service.name}",
            project=project,
            service=service.name,
            path=service.registers,
        )
