"""The worker of the stack knowledge-center: the user's own code on the host, if it is asked for."""

from pyinfra import host

from workstation import context
from workstation import worker as workers
from workstation.operations import files, packages, units, worker
from workstation.render import template

machine = context.load(host)
wanted = machine.worker

if wanted:
    packages.installed(
        name="Tools that the worker's installation uses",
        packages=["ca-certificates", "git", "python3-venv"],
    )
    worker.release(name=f"Worker at {wanted.commit[:12]}", worker=wanted, index=machine.mirror.pypi)
    files.present(
        name="Unit of the worker",
        entries=[
            files.Directory("/etc/ai-workstation"),
            files.File(
                worker.ENVIRONMENT,
                workers.environment(
                    machine.data(workers.STACK), machine.settings.secret("redis_password")
                ),
                mode="600",
                secret=True,
            ),
            files.File(
                worker.UNIT_FILE,
                template(
                    "worker/knowledge-center-worker.service.j2",
                    worker=wanted,
                    current=worker.CURRENT,
                    environment_file=worker.ENVIRONMENT,
                ).encode(),
            ),
        ],
    )
    units.running(
        name="Worker runs",
        # Another release is another link, and makes a restart due.
        units=[units.Unit(worker.UNIT, configuration=[worker.ENVIRONMENT, worker.CURRENT])],
    )
elif workers.STACK in machine.stack_names:
    worker.absent(name="No worker")
