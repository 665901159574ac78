"""The workers of the stacks: the user's own code on the host, if configured."""

from pyinfra import host

from workstation import context
from workstation.operations import files, packages, units, worker
from workstation.render import template

machine = context.load(host)

for wanted in machine.workers:
    if not wanted.repository:
        worker.absent(name=f"No worker of {wanted.stack}", worker=wanted)
        continue
    packages.installed(
        name="Tools for installing the worker",
        packages=["ca-certificates", "git", "python3-venv"],
    )
    worker.release(
        name=f"Worker of {wanted.stack} at {wanted.commit[:12]}",
        worker=wanted,
        index=machine.mirror.pypi,
        trusted=machine.mirror.trusted,
    )
    files.present(
        name=f"Unit of the worker of {wanted.stack}",
        entries=[
            files.Directory("/etc/ai-workstation"),
            files.File(
                wanted.environment_file,
                wanted.told(machine.settings.secret),
                mode="600",
                secret=True,
            ),
            files.File(
                wanted.unit_file, template("worker/worker.service.j2", worker=wanted).encode()
            ),
        ],
    )
    units.running(
        name=f"Worker of {wanted.stack} runs",
        # A new release changes this link, after which a restart is due.
        units=[
            units.Unit(wanted.unit, configuration=[wanted.environment_file, wanted.current]),
        ],
    )
