"""Native Ollama: for the host on loopback, for containers on Docker's bridge, but not for the LAN.
It is left alone if no service uses it on the host."""

from pyinfra import host

from workstation import context
from workstation.operations import accounts, files, firewall, ollama, packages, units
from workstation.render import template
from workstation.units import ollama as ollama_unit

machine = context.load(host)
settings, mirror = machine.settings, machine.mirror
pin = machine.pins.downloads["ollama"]
port = settings.ollama_port
unit, drop_in = ollama_unit.unit(), ollama_unit.drop_in(settings)
manage = settings.ollama_from_containers == "manage"

if machine.needs.ollama:
    packages.installed(
        name="Tools for installing Ollama",
        packages=["ca-certificates", "curl", "zstd", "nftables"],
    )

    if not manage:
        ollama.filter_installed(name="Filter between containers and Ollama")

    accounts.system_user(
        name="User of Ollama", user="ollama", home="/usr/share/ollama", groups=["render", "video"]
    )

    # Before our units exist: the present ones say where the present models are.
    ollama.release(
        name=f"Ollama {pin.version}",
        version=pin.version,
        url=pin.fetched_from(mirror),
        sha256=pin.sha256,
        models=settings.ollama_models,
        units=(unit, drop_in),
        gpu=machine.gpu,
    )

    files.present(
        name="Units of Ollama",
        entries=[
            files.Directory(
                settings.ollama_models, user="ollama", group="ollama", known_by=ollama.STORE
            ),
            files.File(unit.path, unit.text.encode(), backup=True),
            files.Directory(f"{unit.path}.d"),
            files.File(drop_in.path, drop_in.text.encode()),
            files.File(
                "/etc/systemd/system/ollama-docker.service",
                template("ollama/ollama-docker.service.j2", port=port, manage=manage).encode(),
            ),
        ],
    )

    ollama.bridge_socket(
        name="Ollama's socket for containers",
        socket=template("ollama/ollama-docker.socket.j2", port=port),
        guard=template("ollama/ollama-docker-guard.service.j2", port=port),
        filtering="" if manage else template("ollama/ollama-docker.cfg.j2", port=port),
    )

    firewall.containers_reach(name="Firewall lets containers reach Ollama", port=port)

    units.running(
        name="Ollama runs",
        units=[
            # A new release changes this link, after which a restart is due.
            units.Unit("ollama.service", configuration=["/usr/local/bin/ollama"]),
            units.Unit("ollama-docker-guard.service"),
            units.Unit("ollama-docker.socket"),
            units.Unit(
                "ollama-docker.service",
                enabled=False,
                running=False,
                configuration=[] if manage else [ollama.FILTER_FILE],
            ),
        ],
    )
