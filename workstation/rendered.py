"""A rendered stack: its model, and its files as they will be on the host."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from workstation.compose import dockerfile
from workstation.compose.builds import bases
from workstation.pins import Source
from workstation.places import Place
from workstation.settings import missing
from workstation.stack import BUILD, Secret, Service, Stack, StackError


@dataclass(frozen=True)
class RenderedStack:
    """The stack's model, its folder on the host, and every file in it by relative path.

    ``pins_used``: the pins of the services that a run starts, and of what it builds for them, such
    as ``images.comfyui`` and ``sources.fooocus``. ``origins``: folder of a build -> the pin that
    gives the image its version.
    ``secrets``: the values of the settings that its Compose file names as secrets. ``places``:
    host folders that its services mount. ``hidden``: files that only root may read, and that no
    plan shows. ``routes``: path and content of the file of its routes for our own proxy; without
    content, there must be none.
    """

    model: Stack
    folder: str
    files: dict[str, bytes]
    pins_used: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    places: tuple[Place, ...] = ()
    hidden: frozenset[str] = frozenset({".env"})
    routes: tuple[str, bytes] | None = None

    @property
    def compose(self) -> str:
        return self.files["compose.yaml"].decode()

    def context(self, service: Service) -> dict[str, bytes]:
        """Return the build context of ``service``: its files by path in its folder."""
        folder = (service.build or "").removeprefix(self.folder + "/") + "/"
        return {
            path.removeprefix(folder): content
            for path, content in self.files.items()
            if path.startswith(folder)
        }

    def source(self, service: Service, sources: Mapping[str, Source]) -> Source | None:
        """Return the git source that the image of ``service`` is built from, if there is one."""
        folder = posixpath.relpath(service.build or self.folder, self.folder)
        section, _, key = self.origins.get(folder, "").partition(".")
        return sources.get(key) if section == "sources" else None

    def secret(self, secret: Secret) -> bytes:
        """Return the content of a secret's file.

        Raises SettingsError if its setting is empty: only the code that writes the file needs it.
        """
        value = self.secrets[secret.setting].get_secret_value()
        if not value:
            raise missing(secret.setting)
        return value.encode()

    def dockerfile(self, service: Service) -> str:
        """Return the Dockerfile from which the image of ``service`` is built.

        Raises StackError if there is none in its folder.
        """
        context = self.context(service)
        folder = (service.build or "").rpartition("/")[2]
        if "Dockerfile" not in context:
            raise StackError(
                f"Service {service.name} is built from {service.build}, but the stack's "
                f"templates have no {folder}/Dockerfile.j2: add it.",
                id="dockerfile-invalid",
            )
        text = context["Dockerfile"].decode(errors="replace").removeprefix("\ufeff")
        if problem := dockerfile.problem(text, context):
            raise StackError(
                f"Service {service.name} is built from {service.build}, whose Dockerfile "
                f"{problem}: correct {folder}/Dockerfile.j2 in the stack's templates.",
                id="dockerfile-invalid",
            )
        return text


def check_dockerfiles(stack: RenderedStack) -> None:
    """Raise StackError for a missing or invalid Dockerfile, and for an image that a run builds from
    one that it does not build."""
    built = {one.image for one in stack.model.built}
    others = {one.image: one.name for one in stack.model.services if one.build}
    for service in [one for one in stack.model.services if one.build]:
        text = stack.dockerfile(service)
        for base in sorted(bases(text, others.keys() - built)) if service.image in built else ():
            raise StackError(
                f"Service {service.name} is built from the image of {others[base]}, which a run "
                f"does not build because of its `profiles`: add the profile {BUILD} there.",
                id="dockerfile-invalid",
            )
