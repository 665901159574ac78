"""Docker Engine, Compose plugin and Buildx; log rotation; the mirror's registry."""

from pyinfra import host

from workstation import context
from workstation.docker.daemon import DEFAULTS
from workstation.needs import PROXY
from workstation.operations import ca, docker, gpu_users, packages, units
from workstation.render import template

machine = context.load(host)
settings, mirror = machine.settings, machine.mirror

# Before anything else, because packages make systemd reload its units.
gpu_users.kept(name="Containers keep the GPU when systemd reloads its units")

ca.trusted(name="CA certificates of this network", bundle=machine.ca_bundle())

packages.installed(
    name="Tools for later tasks",
    # git: BuildKit uses the host's to fetch pinned sources. pigz: the Engine unpacks layers with
    # it, and more slowly without it (moby, pkg/archive). nftables: for the guard.
    packages=["ca-certificates", "curl", "gpg", "git", "pigz", "nftables"],
)

# Before the Engine, so that it already has them at its first start.
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
    name="Units that start containers at boot and close them to neighbors",
    containers=template(
        "docker/ai-workstation-containers.service.j2",
        projects=[PROXY, *machine.stack_names],
        share=settings.smb_mount,
    ),
    guard=template("docker/ai-workstation-guard.service.j2", ollama_port=settings.ollama_port),
    projects=machine.projects,
    proxy=settings.proxy_network,
    own=settings.proxy == "own",
)

units.running(
    name="Docker Engine runs",
    units=[
        # The operation that writes its configuration restarts it: it knows what that would stop.
        units.Unit("docker.service", restarted=False),
        *map(units.Unit, docker.UNITS),
    ],
)
