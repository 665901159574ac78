"""The host's surroundings: its clock, disks, running containers and mounts, and whether the
addresses to download from answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question

# Go's names of the fields (docker info -f '{{json .}}'), one JSON list for each container.
_CONTAINER = (
    "container [{{json .Id}},{{json .Name}},{{json .Config.Image}},{{json .Config.Labels}},"
    "{{json .NetworkSettings.Ports}},{{json .NetworkSettings.Networks}}]"
)


@dataclass(frozen=True)
class RunningContainer:
    """A running container, whoever started it. ``project``: of Compose, or empty; ``version``: from
    its image's label, or empty; ``ports``: published TCP ports of the host."""

    id: str
    name: str
    image: str
    project: str = ""
    version: str = ""
    ports: tuple[int, ...] = ()
    networks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"the container {self.name} ({self.image})"


@dataclass(frozen=True)
class Disk:
    """The file system that contains, or will contain, a folder, links followed: its mountpoint,
    free bytes and type, such as ``ext4``."""

    mountpoint: str
    free: int
    kind: str = ""


@dataclass(frozen=True)
class Answer:
    """The result of a request to an address: ``http`` with the status, or the step that failed
    (``name``, ``connect``, ``tls``) with the reason."""

    step: str
    detail: str


@dataclass(frozen=True)
class SurroundingsState:
    """``clock``: seconds by which it is ahead of ours, None if unknown; ``synchronised``: whether a
    time service sets it, ``yes``, ``no`` or empty; ``disks``: folder -> its disk; ``silent``:
    folders that do not respond; ``store``: real path of the model store; ``links``: path -> target
    of the links below it that are absolute or lead out of it; ``answers``: address -> result, empty
    if Python is missing; ``listed``: whether an Engine listed its running ``containers``;
    ``minimum_api``: the oldest API version that it supports; ``engine_proxied``: whether it pulls
    through a proxy of its own; ``toolkit``: installed version of the NVIDIA Container Toolkit;
    ``ollama``: name of the folder that contains the release."""

    clock: int | None = None
    synchronised: str = ""
    disks: dict[str, Disk] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    store: str = ""
    links: tuple[tuple[str, str], ...] = ()
    answers: dict[str, Answer] = field(default_factory=dict)
    containers: tuple[RunningContainer, ...] = ()
    listed: bool = False
    minimum_api: str = ""
    engine_proxied: bool = False
    toolkit: str = ""
    ollama: str = ""


class Surroundings(Fact[SurroundingsState]):
    """
    Returns the ``SurroundingsState`` of the host.

    + folders: whose disks to report; one that does not exist counts as the nearest above it
    + store: the model store
    + addresses: URLs whose headers are requested in parallel
    + now: Unix time on this machine, to compare with the host's clock
    + seconds: how long to wait for all addresses together, if the host has idle processors

    CA certificates to trust in addition to the host's own may be passed as ``_stdin``.
    """

    def command(
        self, folders: list[str], addresses: list[str], now: int, seconds: int = 6, store: str = ""
    ) -> StringCommand:
        return question(
            scripts.text("surroundings/surroundings.sh"),
            scripts.text("surroundings/ask.py"),
            _CONTAINER,
            now,
            seconds,
            scripts.text("surroundings/disk.sh"),
            scripts.text("surroundings/links.sh"),
            store,
            len(folders),
            *folders,
            *addresses,
        )

    def read(self, lines: list[str]) -> SurroundingsState:
        refuse_wedged(lines)
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        disks, answers = {}, {}
        for word, rest in pairs:
            if word == "disk":
                free, kind, mountpoint, folder = rest.split("\t")
                disks[folder] = Disk(mountpoint, int(free) * 1024, kind)
            elif word == "answer":
                address, step, detail = rest.split(" ", 2)
                answers[address] = Answer(step, detail)
        return SurroundingsState(
            clock=int(words["clock"]) if "clock" in words else None,
            synchronised=words.get("synchronised", ""),
            disks=disks,
            silent=tuple(dict.fromkeys(rest for word, rest in pairs if word == "silent")),
            store=words.get("store", ""),
            links=tuple(
                (path, said)
                for word, rest in pairs
                if word == "link"
                for path, _, said in [rest.partition("\t")]
            ),
            answers=answers,
            containers=tuple(_container(rest) for word, rest in pairs if word == "container"),
            listed="listed" in words,
            minimum_api=words.get("minimum-api", ""),
            engine_proxied="engine-proxied" in words,
            toolkit=words.get("toolkit", ""),
            # /opt/ollama/<release>/bin/ollama
            ollama="".join(words.get("ollama", "").split("/")[-3:-2]),
        )


def _container(line: str) -> RunningContainer:
    identity, name, image, labels, ports, networks = json.loads(line)
    published = {
        int(binding["HostPort"])
        for inside, bindings in (ports or {}).items()
        if inside.endswith("/tcp")
        for binding in bindings or ()
    }
    return RunningContainer(
        id=identity,
        name=name.removeprefix("/"),
        image=image,
        project=(labels or {}).get("com.docker.compose.project", ""),
        version=(labels or {}).get("org.opencontainers.image.version", ""),
        ports=tuple(sorted(published)),
        networks=tuple(sorted(networks or {})),
    )
