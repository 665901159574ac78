"""The end state that the tasks ask for, as data for a playbook and a plain deploy.

The tasks run with operations that only record their arguments (``record.py``). Content that they
would merge or look up comes from the converged machine: ``daemon.json``, keys, owners' names.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lab.bench.contestants import WANTED
from lab.errors import LabError
from workstation import operations
from workstation.docker import daemon_json
from workstation.docker.daemon_json import merge
from workstation.facts.docker import Engine
from workstation.facts.files import Contents, Paths, PathState
from workstation.facts.machine import Accounts, Machine
from workstation.facts.ollama import Ollama
from workstation.mirror import Mirror
from workstation.operations import docker as docker_operations
from workstation.operations import files as file_operations
from workstation.operations.smb import fstab_entry
from workstation.operations.units import Unit
from workstation.pins import AptRepository
from workstation.rendered import RenderedStack
from workstation.settings import Settings
from workstation.units.files import UnitFile
from workstation.units.ollama import RELEASES

# Operations that consist of simpler ones, even if nothing has to change.
COMPOSED = (
    *("ca.trusted", "docker.boot_units", "nvidia.toolkit", "ollama.bridge_socket"),
    "compose.laid_down",
)

# Only this project does these; the others are not asked to (docs/benchmark.md).
LEFT_OUT = (
    "compose.network_exists",
    "disks.mounted",
    "firewall.containers_reach",
    "gpu_users.kept",
    "invokeai.models_registered",
    "nvidia.devices",
    "nvidia.driver",
    "ollama.filter_installed",
    "tls.internal",
    "worker.absent",
    "worker.release",
)


Placed = TypeVar("Placed", file_operations.File, file_operations.Directory)


@dataclass
class Wanted:
    """The end state, each item once, in the order in which to create it."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    directories: dict[str, file_operations.Directory] = field(default_factory=dict)
    files: dict[str, file_operations.File] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    shared: list[dict[str, str]] = field(default_factory=list)
    projects: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    """Replaces every operation and records the state that each call asks for.

    + host: pyinfra's host, queried for the machine's state
    """

    def __init__(self, host: Any) -> None:
        self.wanted = Wanted()
        self._host = host
        self._daemon_json: bytes | None = None
        self._originals: dict[str, Callable[..., Iterable[Any]]] = {}

    def install(self) -> None:
        """Replace the operations of ``workstation/operations`` in this process."""
        for found in pkgutil.iter_modules(operations.__path__):
            module = importlib.import_module(f"{operations.__name__}.{found.name}")
            for name, value in list(vars(module).items()):
                if hasattr(value, "_inner"):
                    operation = f"{found.name}.{name}"
                    self._originals[operation] = value.changes
                    setattr(module, name, _Noted(self, operation))

    def note(self, operation: str, arguments: dict[str, Any]) -> None:
        """Record one call.

        + operation: such as ``files.present``

        Raises LabError for an operation without a rule for the comparison.
        """
        if operation in LEFT_OUT:
            return
        if operation in COMPOSED:
            list(self._originals[operation](**arguments))
            return
        handler = getattr(self, "_" + operation.replace(".", "_"), None)
        try:
            if handler is None:
                raise TypeError("it is not known")
            called = inspect.signature(handler).bind(**arguments)
        except TypeError as error:
            raise LabError(
                f"the benchmark cannot compare the operation {operation} ({error}): add it to "
                "lab/bench/wanted.py, or exclude it there"
            ) from None
        handler(*called.args, **called.kwargs)

    def finish(self) -> Wanted:
        """Return what was recorded, completed with what only the machine knows."""
        wanted = self.wanted
        if self._daemon_json is not None:
            self._files_present(
                [file_operations.File(daemon_json.PATH, self._daemon_json, mode="")]
            )
        states = self._host.get_fact(Paths, paths=[*wanted.files, *wanted.directories])
        for path, file in wanted.files.items():
            wanted.files[path] = settled(file, states.get(path))
        for path, folder in wanted.directories.items():
            wanted.directories[path] = settled(folder, states.get(path))
        return wanted

    def _absent(self, paths: Iterable[str]) -> None:
        self.wanted.absent += [path for path in paths if path not in self.wanted.absent]

    # ---- one method for each operation, named <module>_<operation>

    def _files_present(self, entries: list[file_operations.Entry]) -> None:
        for entry in entries:
            if isinstance(entry, file_operations.File):
                self.wanted.files[entry.path] = entry
            elif isinstance(entry, file_operations.Directory):
                self.wanted.directories[entry.path] = entry
            else:
                self._absent([entry.path])

    def _files_shared_tree(self, path: str, group: str, settled: Iterable[str] = ()) -> None:
        self.wanted.shared.append({"path": path, "group": group})

    def _packages_installed(
        self, packages: list[str], hold: bool = False, removes: Iterable[str] = ()
    ) -> None:
        known = self.wanted.held if hold else self.wanted.packages
        known += [package for package in packages if package not in known]

    def _packages_repository(
        self,
        name: str,
        key_url: str,
        fingerprint: str,
        uri: str,
        suite: str,
        components: str = "",
        gone: Iterable[str] = (),
    ) -> None:
        """Take the key and the entry as they are on the machine."""
        self._absent(gone)
        paths = [f"/usr/share/keyrings/{name}.gpg", f"/etc/apt/sources.list.d/{name}.sources"]
        contents = self._host.get_fact(Contents, paths=paths)
        self._files_present([file_operations.File(path, contents[path]) for path in paths])

    def _units_running(self, units: list[Unit]) -> None:
        # A unit that another starts on demand is neither enabled nor running.
        self.wanted.units += [
            unit.name
            for unit in units
            if (unit.enabled or unit.running) and unit.name not in self.wanted.units
        ]

    def _accounts_system_user(self, user: str, home: str, groups: list[str]) -> None:
        found = self._host.get_fact(Accounts, users=[user], groups=groups, uid=0, gid=0)
        joined = [group for group in groups if f"group:{group}" in found]
        self.wanted.groups.append({"name": user, "system": True})
        self.wanted.users.append(
            {"name": user, "group": user, "groups": joined, "home": home, "system": True}
        )

    def _accounts_shared_identity(self, user: str, uid: int, group: str, gid: int) -> None:
        self.wanted.groups.append({"name": group, "gid": gid})
        self.wanted.users.append({"name": user, "uid": uid, "group": group, "home": "/nonexistent"})

    def _docker_engine(self, source: str, pin: AptRepository, mirror: Mirror) -> None:
        system = self._host.get_fact(Machine)
        origin = docker_operations.origin_of(source, system)
        if origin == "docker":
            release = system.os_release
            self._packages_repository(**docker_operations.repository(pin, mirror, release))
        self._packages_installed(docker_operations._PACKAGES[origin])

    def _docker_daemon_config(
        self, wanted: dict[str, Any], defaults: dict[str, Any] | None = None
    ) -> None:
        if self._daemon_json is None:
            self._daemon_json = self._host.get_fact(Engine).daemon_json
            self._files_present([file_operations.Directory("/etc/docker")])
        self._daemon_json = merge(self._daemon_json, wanted, defaults)

    def _ollama_release(
        self,
        version: str,
        url: str,
        sha256: str | None,
        models: str,
        units: tuple[UnitFile, UnitFile],
        gpu: bool,
    ) -> None:
        target = self._host.get_fact(Ollama, releases=RELEASES, models=models).target
        self.wanted.links.append(
            {
                "path": "/usr/local/bin/ollama",
                "target": target,
                "folder": target.removesuffix("/bin/ollama"),
                "url": url,
                "sha256": sha256 or "",
            }
        )

    def _smb_share(
        self, settings: Settings, credentials: file_operations.File, folders: list[str]
    ) -> None:
        self._packages_installed(["cifs-utils"])
        self._files_present(
            [file_operations.Directory(str(Path(credentials.path).parent)), credentials]
        )
        self.wanted.mounts.append(
            {
                "path": settings.smb_mount,
                "line": fstab_entry(settings, credentials.path).line(),
                "folders": [f"{settings.smb_mount}/{folder}" for folder in folders],
            }
        )

    def _compose_up(
        self,
        stack: RenderedStack,
        secrets: list[str],
        sources: Any = None,
        attestations: Any = (),
        limit: int = 0,
    ) -> None:
        self.wanted.projects.append(
            {
                "name": stack.model.name,
                "folder": stack.folder,
                "services": sorted(service.name for service in stack.model.running),
            }
        )


class _Noted:
    """Replaces one operation, called by a task or, for its changes, by another operation."""

    def __init__(self, recorder: Recorder, operation: str) -> None:
        self._recorder = recorder
        self._operation = operation

    def __call__(self, name: str = "", **arguments: Any) -> None:
        self._recorder.note(self._operation, arguments)

    def changes(self, **arguments: Any) -> Iterator[Any]:
        self._recorder.note(self._operation, arguments)
        return iter(())


def settled(entry: Placed, found: PathState | None) -> Placed:
    """Return an entry with the mode to keep, and with names instead of numeric owners.

    + found: the state of its path
    """
    if found is None:
        return entry
    if not entry.mode:
        return replace(entry, mode=found.mode, user=found.user, group=found.group)
    return replace(
        entry,
        user=found.user if entry.user == str(found.uid) else entry.user,
        group=found.group if entry.group == str(found.gid) else entry.group,
    )


def export(wanted: Wanted, folder: Path = WANTED) -> None:
    """Write the end state for the others: data in ``vars.json``, contents below ``files/``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    for file in wanted.files.values():
        copy = folder / "files" / file.path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch(mode=0o600)
        copy.write_bytes(file.content)
    (folder / "vars.json").write_text(json.dumps({"wanted": variables(wanted, folder)}, indent=1))


def variables(wanted: Wanted, folder: Path) -> dict[str, Any]:
    """Return the end state as plain data; ``content`` of a file is where its bytes are."""
    placed: Iterable[file_operations.File | file_operations.Directory]
    placed = [*wanted.directories.values(), *wanted.files.values()]
    data = vars(wanted) | {"directories": [], "files": []}
    for entry in placed:
        row = {
            "path": entry.path,
            "mode": entry.mode.zfill(4),
            "owner": entry.user,
            "group": entry.group,
        }
        if isinstance(entry, file_operations.File):
            row["content"] = str(folder / "files" / entry.path.lstrip("/"))
            data["files"].append(row)
        else:
            data["directories"].append(row)
    return data
