"""What every task needs to know of its host: checked settings, pins, mirror, rendered stacks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from workstation import given_file, hooks, stack_settings
from workstation import mirror as mirrors
from workstation import pins as pin_files
from workstation import settings as host_settings
from workstation.errors import UserError, named
from workstation.facts.asking import ask
from workstation.facts.machine import Machine, MachineState
from workstation.facts.nvidia import Gpu
from workstation.mirror import Mirror
from workstation.needs import PROXY, Needs, needs
from workstation.pins import Pins
from workstation.places import Place, of_host
from workstation.render import TEMPLATES, StackRenderer
from workstation.rendered import RenderedStack
from workstation.report import criteria
from workstation.run import current
from workstation.settings import Settings
from workstation.stack import data_key
from workstation.traefik import acme, login, tls
from workstation.traefik.routes import ROUTES, routes
from workstation.worker import Worker

ROOT = TEMPLATES.parent
SHARE = ("smb_server", "smb_share", "smb_user", "smb_password")
"""Settings of the share; none may be empty if a stack uses the share."""


@dataclass
class Context:
    """One host's settings and everything derived from them; :func:`load` makes one per host."""

    host: Any
    settings: Settings
    pins: Pins
    mirror: Mirror
    stack_names: tuple[str, ...]
    _rendered: dict[str, RenderedStack] = field(default_factory=dict)

    @cached_property
    def gpu(self) -> bool:
        """Whether containers may reserve a GPU; for ``optional``, the host's driver decides."""
        if self.settings.gpu == "optional":
            return bool(ask(self.host, Gpu).cards)
        return self.settings.gpu == "required"

    @cached_property
    def system(self) -> MachineState:
        """What kind of machine the host is, queried once."""
        state: MachineState = ask(self.host, Machine)
        return state

    def data(self, name: str) -> dict[str, Any]:
        """Return a stack's data: group_data/<stack>.py, with the changes from .env."""
        # The stack "proxy" has none: that name belongs to a setting.
        given = {} if name == PROXY else self.host.data.get(data_key(name), {})
        return stack_settings.checked(name, given, TEMPLATES / "stacks")

    def stack(self, name: str) -> RenderedStack:
        """Return a stack, rendered for this host. Raises StackError, or CriteriaError."""
        if name not in self._rendered:
            rendered = StackRenderer(
                name,
                self.settings,
                self.pins,
                self.mirror,
                self.data(name),
                self.gpu,
                hidden=self._for_proxy() if name == PROXY else None,
            ).render()
            criteria.check(rendered.model, TEMPLATES / "stacks")
            if self.settings.proxy == "own" and name != PROXY:
                rendered = self._routed(rendered)
            self._rendered[name] = rendered
        return self._rendered[name]

    def _for_proxy(self) -> dict[str, bytes]:
        """Return the files that our own proxy uses besides routes: logins and certificates."""
        files = {login.FILE: login.middlewares(self.settings), **acme.files(self.settings)}
        # With an authority of its own, the machine writes this file itself.
        if self.settings.tls != "internal":
            files[tls.FILE] = tls.content(self.settings, self.hosts())
        return files

    def hosts(self) -> list[str]:
        """Return the names that our own proxy routes, sorted."""
        running = [one for stack in self.stacks() for one in stack.model.running]
        return sorted(one.host for one in running if one.host)

    def _routed(self, stack: RenderedStack) -> RenderedStack:
        """Return a stack with the file of its routes, which our own proxy watches."""
        kinds = {one.name: self.settings.login_of(one.name) for one in stack.model.running}
        asked = {name: login.MIDDLEWARES.get(kind, "") for name, kind in kinds.items()}
        path = f"{self.settings.stacks_dir}/{PROXY}/{ROUTES}/{stack.model.name}.yml"
        secure = tls.router(self.settings)
        content = routes(stack.model, asked, self.settings.proxy_origins, secure)
        return replace(stack, routes=(path, content))

    def stacks(self) -> list[RenderedStack]:
        """Return the rendered stacks that the inventory assigns to this host."""
        return [self.stack(name) for name in self.stack_names]

    @property
    def projects(self) -> list[str]:
        """Our Compose projects on the host, including the proxy if it is our own."""
        return [*([PROXY] if self.settings.proxy == "own" else []), *self.stack_names]

    @cached_property
    def needs(self) -> Needs:
        """What the host's stacks need: proxy, share, Ollama, disks."""
        return needs(self.settings, [stack.model for stack in self.stacks()])

    @property
    def places(self) -> list[Place]:
        """The host folders that its services mount, and what creates each."""
        return of_host(self.settings, [stack.model for stack in self.stacks()])

    @property
    def workers(self) -> list[Worker]:
        """The workers of the host's stacks, including those that are not configured."""
        return [stack.model.worker for stack in self.stacks() if stack.model.worker]

    def require(self) -> None:
        """Raise SettingsError for an empty setting that the host's stacks need."""
        if self.needs.share:
            self.settings.require(*SHARE)
        if self.settings.proxy == "own":
            running = [one for stack in self.stacks() for one in stack.model.running]
            login.check(self.settings, [one.name for one in running if one.host])
        for stack in self.stacks():
            self.settings.require(*(one.setting for one in stack.model.required_secrets))

    @property
    def rendered(self) -> list[RenderedStack]:
        """The stacks rendered so far, including the proxy."""
        return list(self._rendered.values())

    def attestations(self) -> list[str]:
        """Return the options that make ``docker buildx bake`` attach attestations."""
        kinds = self.settings.build_attestations
        options = ["--provenance=mode=max"] if "provenance" in kinds else []
        if "sbom" in kinds:
            options.append(f"--sbom=generator={self.pins.images['sbom_scanner'].ref(self.mirror)}")
        return options

    def ca_bundle(self) -> bytes | None:
        """Return the CA certificates that the host and its builds must trust, if any."""
        if not self.settings.ca_bundle:
            return None
        path = given_file.path_of(self.settings.ca_bundle)
        try:
            content = given_file.read(path)
        except OSError as error:
            raise host_settings.SettingsError(
                f"CA_BUNDLE points to {named(str(path))}, which cannot be read: {error.strerror}.",
                id="ca-bundle-invalid",
            ) from error
        if re.search(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY", content):
            raise host_settings.SettingsError(
                f"CA_BUNDLE points to {named(str(path))}, which contains a private key that every "
                "user of the host could then read: choose a file with certificates only.",
                id="ca-bundle-invalid",
            )
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise host_settings.SettingsError(
                f"CA_BUNDLE points to {named(str(path))}, which contains no PEM certificate "
                "(-----BEGIN CERTIFICATE-----): choose a file that does.",
                id="ca-bundle-invalid",
            )
        return content


@cache
def _upstreams(mirror: str) -> tuple[Mirror, Pins]:
    """Return the mirror that a file describes, and the pins with the mirror's changes; the same
    objects for every host that uses it."""
    found = mirrors.load(mirror)
    return found, pin_files.load(ROOT / "pins.yml", found.pins)


def load(host: Any) -> Context:
    """Return the context of a host, which the first call checks.

    + host: pyinfra's host

    Raises UserError before anything is changed.
    """
    hooks.enter(host)
    contexts: dict[str, Context] = current().contexts
    if host.name not in contexts:
        available = {path.parent.name for path in TEMPLATES.glob("stacks/*/compose.yaml.j2")}
        data = host.data.dict()
        settings = host_settings.load(data, stacks=available)
        mirror, pins = _upstreams(settings.mirror)
        names = tuple(sorted((available - {PROXY}) & set(host.groups)))
        if not names:
            raise UserError(
                f"The inventory assigns no stack to {host.name}, and .env was not read: put "
                "inventory.py before the task file.",
                id="inventory-without-stacks",
            )
        contexts[host.name] = Context(
            host=host,
            settings=settings,
            pins=pins,
            mirror=mirror,
            stack_names=names,
        )
    return contexts[host.name]


def is_loaded(host: Any) -> bool:
    """Return whether :func:`load` was called for a host."""
    return host.name in current().contexts
