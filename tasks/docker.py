"""Docker Engine, Compose plugin and Buildx; log rotation; the mirror's registry."""

from pyinfra import host

from workstation import context
from workstation.docker.daemon import DEFAULTS
from workstation.needs import PROXY
from workstation.operations import ca, docker, gpu_users, packages, units
from workstation.render import template

machine = context.load(host)
settings, mirror = machine.settings, machine.mirror

# First of all: packages make systemd read its units again.
gpu_users.kept(name="Containers keep the GPU when systemd reads its units again")

ca.trusted(name="CA certificates of this network", bundle=machine.ca_bundle())

packages.installed(
    name="Tools that later tasks use",
    # git: BuildKit fetches pinned sources with the host's. pigz: the Engine unpacks layers with it
    # where it is there, and by itself, more slowly, where it is not (moby, pkg/archive).
    # nftables: the guard's.
    packages=["ca-certificates", "curl", "gpg", "git", "pigz", "nftables"],
)

# Before the Engine, so that its first start already has them.
docker.daemon_config(
    name="Docker Engine's configuration",
    wanted=mirror.daemon_json,
    defaults=dict(DEFAULTS),
)

docker.engine(
    name="Docker Engine, Compose and Buildx",
    source=settings.docker_source,
    pin=machine.pins.apt["docker"],
    mirror=mirror,
)

docker.boot_units(
    name="Units that start containers anew at boot, and close them to neighbours",
    containers=template(
        "docker/ai-workstation-containers.service.j2",
        projects=[PROXY, *machine.stack_names],
        share=settings.smb_mount,
    ),
    guard=template("docker/ai-workstation-guard.service.j2"),
    projects=machine.projects,
    proxy=settings.proxy_network,
    own=settings.proxy == "own",
)

units.running(
    name="Docker Engine runs",
    units=[
        # Restarted where its configuration is written, which knows what that would stop.
        units.Unit("docker.service", restarted=False),
        *map(units.Unit, docker.UNITS),
    ],
)
