"""Preflight: read the host, collect every problem, and stop the run before any change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from pyinfra.api.exceptions import PyinfraError

from workstation import preflight, ssh
from workstation.compose.actions import ProjectState
from workstation.context import Context
from workstation.errors import UserError
from workstation.facts.asking import ask, ask_together
from workstation.facts.daemon import Daemon, DaemonState
from workstation.facts.docker import Bridges, BridgesState, Engine, EngineState, Networks
from workstation.facts.driver import DriverSource, DriverSourceState
from workstation.facts.firewall import Firewall, FirewallState
from workstation.facts.gpu_users import GpuUser, GpuUsers
from workstation.facts.machine import Machine, MachineState
from workstation.facts.mounts import Mounted
from workstation.facts.nvidia import Gpu, GpuState
from workstation.facts.ollama import Ollama, OllamaState
from workstation.facts.packages import Packages, PackageState, Sources, SourcesState
from workstation.facts.shell import HiddenText
from workstation.facts.surroundings import Surroundings, SurroundingsState
from workstation.facts.weights import ModelFiles, Weights
from workstation.findings import Finding, failed, noted
from workstation.mounts import fstab
from workstation.needs import PROXY
from workstation.nvidia.driver import action
from workstation.operations.compose import project_state
from workstation.operations.docker import DEFAULT_BRIDGE, source_of
from workstation.operations.nvidia import IN_DAEMON_JSON
from workstation.operations.smb import explain, login_answer, mount_state
from workstation.preflight import docker, gpu, neighbors, ollama, ports, storage, system, versions
from workstation.preflight.models import model_findings, models
from workstation.preflight.stacks import (
    collision_findings,
    gpu_findings,
    network_findings,
    other_networks,
    stranger_findings,
)
from workstation.preflight.upstreams import (
    Upstream,
    fetched,
    pin_findings,
    upstream_findings,
    upstreams,
)
from workstation.rendered import RenderedStack
from workstation.run import current
from workstation.stack import Service
from workstation.units import ollama as ollama_unit
from workstation.units.ollama import RELEASES


class PreflightError(UserError):
    """The host is not ready; the message lists every problem."""


def check(host: Any, machine: Context) -> list[Finding]:
    """Read the host and return all findings; print the notes, which do not stop the run.

    Raises PreflightError with every problem. It is called while pyinfra prepares the run, so it
    stops it before the first change, with ``-y`` too.
    """
    if machine.settings.gpu == "optional":
        # The next step renders the stacks, which needs to know about the driver.
        _first_answer(host, machine)
    machine.require()
    findings = current().findings[host.name] = list(_findings(_look(host, machine)))
    for note in noted(findings):
        told = f"    [{host.name}] note: {preflight.line(note)}"
        click.echo(click.style(told, fg="yellow"), err=True)
    problems = failed(findings)
    if problems:
        raise _not_ready(host, problems)
    return findings


def _not_ready(host: Any, problems: list[Finding]) -> PreflightError:
    return PreflightError(
        f"{host.name} is not ready; nothing was changed:\n{preflight.summary(problems)}",
        id="",  # each problem shows its own
    )


@dataclass(frozen=True)
class _Seen:
    """Everything known about the host. ``stacks``: those that will run, including the proxy's if it
    is ours; ``projects``: what Docker has of each, if it can be queried; ``missing``: each stack's
    services whose image is not on the host."""

    machine: Context
    system: MachineState
    sources: SourcesState
    engine: EngineState
    daemon: DaemonState
    bridges: BridgesState
    networks: list[str]
    gpu: GpuState
    gpu_users: list[GpuUser]
    packages: dict[str, PackageState]
    driver_source: DriverSourceState
    around: SurroundingsState
    mounted: dict[str, str]
    servers: list[Upstream]
    stacks: list[RenderedStack]
    projects: list[tuple[RenderedStack, ProjectState]]
    missing: list[tuple[RenderedStack, list[Service]]]
    models: dict[str, Weights]
    ollama: OllamaState
    firewall: FirewallState

    @property
    def docker_source(self) -> str:
        return source_of(self.machine.settings.docker_source, self.system.os_release)


def _look(host: Any, machine: Context) -> _Seen:
    """Query the host. ``compose.up`` asks the same again; that is answered from memory."""
    settings = machine.settings
    known = _first_answer(host, machine)
    stacks = machine.stacks()
    if machine.needs.proxy and settings.proxy == "own":
        stacks = [machine.stack(PROXY), *stacks]
    engine: EngineState = ask(host, Engine)
    daemon: DaemonState = ask(host, Daemon)
    if engine.wedged or daemon.wedged:
        # Every further query would wait as long and conclude that Docker is absent.
        raise _not_ready(host, [docker.unanswered(daemon)])
    joined = other_networks([one.model for one in stacks], settings.proxy_network)
    servers = upstreams(machine.pins, machine.mirror, settings)
    bundle = machine.ca_bundle()
    trusted = {"_stdin": HiddenText(bundle.decode(errors="replace") + "\n")} if bundle else {}
    loaded = models(stack.model for stack in stacks)
    disks = machine.needs.disks
    folders = [*_image_folders(daemon, engine), settings.models_path, *disks]
    if machine.needs.ollama:
        folders += [settings.ollama_models, RELEASES]
    found: GpuState = ask(host, Gpu)
    packages: dict[str, PackageState] = ask(host, Packages)
    branch = settings.nvidia_driver
    # Without an answer from an installed Engine, its missing images are unknown.
    known_images = bool(engine.server) or not engine.client
    projects = [
        (stack, project_state(stack) if engine.server else ProjectState()) for stack in stacks
    ]
    return _Seen(
        machine=machine,
        system=known,
        sources=ask(host, Sources),
        engine=engine,
        daemon=daemon,
        # The operation that writes the guard asks the same; it is answered from memory.
        bridges=ask(host, Bridges) if neighbors.lets_neighbors_in(engine) else BridgesState(),
        networks=ask(host, Networks) if engine.server and joined else [],
        gpu=found,
        gpu_users=ask(host, GpuUsers),
        packages=packages,
        driver_source=ask(host, DriverSource, branch=branch)
        if found.signed_only and action(branch, found, packages)
        else DriverSourceState(),
        around=ask(
            host,
            Surroundings,
            folders=folders,
            store=settings.models_path,
            addresses=[server.address for server in servers],
            now=round(time.time()),
            **trusted,
        ),
        mounted=ask(host, Mounted, folders=disks) if disks else {},
        servers=servers,
        stacks=stacks,
        projects=projects,
        missing=[
            (stack, _missing(stack, found) if known_images else []) for stack, found in projects
        ],
        models=ask(host, ModelFiles, paths=loaded) if loaded else {},
        ollama=ask(host, Ollama, releases=RELEASES, models=settings.ollama_models)
        if machine.needs.ollama
        else OllamaState(),
        firewall=ask(host, Firewall, port=settings.ollama_port)
        if machine.needs.ollama
        else FirewallState(),
    )


def _first_answer(host: Any, machine: Context) -> MachineState:
    """Return the answer to the first command on the host, which may fail because of sudo.

    pyinfra (3.10, ``execute_command_with_sudo_retry``) asks for sudo's password at the terminal,
    ends with a traceback if there is none, and only shows sudo's own message otherwise.
    """
    try:
        facts = (Machine, Engine, Daemon, Gpu, Packages, Sources, GpuUsers)
        ask_together(host, [(fact, {}) for fact in facts])
        return machine.system
    except EOFError:
        raise PreflightError(ssh.NO_PASSWORD.format(host=host.name), id="sudo-password") from None
    except PyinfraError as error:
        raise PreflightError(ssh.NOT_ROOT.format(host=host.name), id="not-root") from error


def _missing(stack: RenderedStack, found: ProjectState) -> list[Service]:
    """Return the services whose image the run gets, because it is not on the host."""
    return [service for service in stack.model.wanted if not found.image_id(service.image)]


def _findings(seen: _Seen) -> Iterator[Finding]:
    yield from _of_the_system(seen)
    yield from _of_docker(seen)
    yield from _of_the_gpu(seen)
    yield from _of_stacks(seen)
    yield from _of_ports(seen)
    if seen.machine.needs.ollama:
        drop_in = ollama_unit.drop_in(seen.machine.settings)
        yield from ollama.unit_findings(seen.ollama, ollama_unit.unit(), drop_in, seen.machine.gpu)
    yield from _of_upstreams(seen)
    yield from _of_storage(seen)


def _of_the_system(seen: _Seen) -> Iterator[Finding]:
    yield from system.system_findings(seen.system)
    yield from system.clock_findings(seen.around.clock, seen.around.synchronised)
    installs = not seen.engine.complete
    yield from system.package_findings(seen.system, installs)
    toolkit = seen.machine.pins.apt["nvidia"].version
    lacking = seen.machine.gpu and seen.around.toolkit != toolkit
    yield from system.source_findings(seen.sources, installs or lacking)
    yield from system.firewall_findings(seen.system)
    yield from system.reach_findings(seen.firewall, seen.machine.settings.ollama_port)


def _of_docker(seen: _Seen) -> Iterator[Finding]:
    newest = seen.docker_source == "docker"
    yield from docker.docker_findings(seen.system, seen.engine)
    yield versions.coming_finding(seen.engine, newest)
    yield from docker.daemon_findings(seen.daemon, seen.engine, _daemon_json(seen.machine))
    yield from docker.gpu_user_findings(seen.gpu_users)
    yield from neighbors.guard_findings(seen.bridges, seen.around.containers, seen.machine.projects)
    if not seen.machine.needs.proxy:
        return
    yield from docker.traefik_findings(
        seen.machine.settings,
        own=seen.machine.pins.images["traefik"].tag,
        foreign=[one for one in seen.around.containers if one.project != PROXY],
        new_engine=docker.refuses_old_clients(seen.engine, seen.around.minimum_api, newest),
    )


def _daemon_json(machine: Context) -> dict[str, Any]:
    """Return the keys that the tasks need in Docker's configuration."""
    return {**machine.mirror.daemon_json, **(IN_DAEMON_JSON if machine.gpu else {})}


def _image_folders(daemon: DaemonState, engine: EngineState) -> list[str]:
    """Return the folders of images, from the Engine or its configuration."""
    root, store = storage.data_folders(engine.daemon_json)
    return [daemon.data_root or root, store]


def _of_the_gpu(seen: _Seen) -> Iterator[Finding]:
    settings = seen.machine.settings
    stacks = seen.machine.stacks()
    used = {key for stack in stacks for key in stack.pins_used}
    found, packages = seen.gpu, seen.packages
    yield from gpu.module_findings(settings, found, packages)
    yield from gpu.gpu_findings(settings, found, packages)
    yield from gpu.source_findings(settings, seen.system, found, packages)
    yield from gpu.signing_findings(settings, found, packages, seen.driver_source)
    yield from gpu.card_findings(settings, found, packages)
    yield from gpu.pin_findings(settings, found, seen.machine.pins, used, packages)
    for stack in stacks:
        yield from gpu.flag_findings(settings, found, stack.model, packages)
        yield from gpu.memory_findings(settings, found, stack.model)


def _of_stacks(seen: _Seen) -> Iterator[Finding]:
    machine, stacks = seen.machine, [stack.model for stack in seen.stacks]
    yield from model_findings(stacks, seen.models)
    yield from gpu_findings(stacks)
    yield from stranger_findings(
        (stack.model, stack.folder, found) for stack, found in seen.projects
    )
    yield from network_findings(stacks, machine.settings.proxy_network, seen.networks)
    native = {f"port {machine.settings.ollama_port}": "the native Ollama"}
    yield from collision_findings(stacks, native if machine.needs.ollama else {})


def _of_ports(seen: _Seen) -> Iterator[Finding]:
    settings, containers = seen.machine.settings, seen.around.containers
    bridge = seen.engine.bridge or DEFAULT_BRIDGE
    stacks = [one.model for one in seen.stacks]
    yield from ports.port_findings(seen.system, containers, stacks, seen.around.listed)
    if seen.machine.needs.ollama:
        yield from ports.ollama_findings(settings, seen.system, containers, bridge)
    if seen.machine.needs.proxy:
        yield from ports.foreign_proxy_findings(settings, containers)


def _of_upstreams(seen: _Seen) -> Iterator[Finding]:
    machine, around = seen.machine, seen.around
    toolkit, ollama = machine.pins.apt["nvidia"].version, machine.pins.downloads["ollama"].version
    others = {
        "apt.docker": not seen.engine.complete and seen.docker_source == "docker",
        "apt.nvidia": machine.gpu and around.toolkit != toolkit,
        "images.gpu_probe": machine.gpu and not seen.gpu.probed,
        "downloads.ollama": machine.needs.ollama
        and not f"{around.ollama}-".startswith(f"{ollama}-"),
    }
    used = {key for stack in seen.stacks for key in stack.pins_used}
    used |= {"downloads.ollama"} if machine.needs.ollama else set()
    used |= {"images.gpu_probe"} if machine.gpu else set()
    yield from pin_findings(machine.pins, used)
    yield from upstream_findings(
        seen.servers,
        fetched(machine.pins, machine.mirror, seen.missing, others),
        around.answers,
        mirrored=bool(machine.settings.mirror),
        engine_proxied=around.engine_proxied,
    )


def _of_storage(seen: _Seen) -> Iterator[Finding]:
    machine, settings = seen.machine, seen.machine.settings
    yield from storage.disk_findings(
        seen.around.disks,
        _image_folders(seen.daemon, seen.engine),
        [service for _, services in seen.missing for service in services],
        stand_ins=bool(machine.mirror.stand_ins),
    )
    stores = [settings.models_path, *([settings.ollama_models] if machine.needs.ollama else [])]
    around = seen.around
    yield from storage.place_findings(around.disks, around.silent, stores, settings.smb_mount)
    models = [stack.model for stack in seen.stacks]
    yield from storage.link_findings(settings.models_path, around.store, around.links, models)
    yield from storage.mount_findings(machine.needs.disks, seen.mounted)
    if machine.needs.share:
        unc, target = settings.smb_unc, settings.smb_mount
        mounted = mount_state(settings)
        text = fstab.decode(mounted.fstab)
        yield from storage.fstab_findings(text, unc, target, mounted.linked)
        yield from storage.mountpoint_findings(mounted, target)
        answer = login_answer(settings)
        refusal = explain(answer, settings)
        yield storage.share_finding(refusal, answer.verdict, answer.detail, unc)
