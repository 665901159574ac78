"""What a run will meet around the host: its clock, disks, running containers, what is mounted
where, and whether the addresses that it fetches from answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question

# Go's names of the fields (docker info -f '{{json .}}'), one JSON list a container.
_CONTAINER = (
    "container [{{json .Id}},{{json .Name}},{{json .Config.Image}},{{json .Config.Labels}},"
    "{{json .NetworkSettings.Ports}},{{json .NetworkSettings.Networks}}]"
)


@dataclass(frozen=True)
class RunningContainer:
    """A container that runs, whoever started it. ``project`` of Compose, or empty; ``version`` as
    its image's label says, or empty; ``ports``: published TCP ports of the host."""

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
    """The file system in which a folder lies, or will lie, links followed: its mountpoint, free
    bytes and type, such as ``ext4``."""

    mountpoint: str
    free: int
    kind: str = ""


@dataclass(frozen=True)
class Answer:
    """What came of asking an address: ``http`` with the status, or at which step it failed
    (``name``, ``connect``, ``tls``) with the reason."""

    step: str
    detail: str


@dataclass(frozen=True)
class SurroundingsState:
    """``clock``: seconds by which it is ahead of ours, None if not known; ``synchronised``: whether
    a time service sets it, ``yes``, ``no`` or empty; ``disks``: folder -> where it lies;
    ``silent``: folders that do not answer; ``store``: where the model store really lies, and
    ``links``, below it: path -> what it says, of those that are absolute or lead out of it;
    ``answers``: address -> what came of asking it, for none if Python is missing; ``listed``:
    whether an Engine said which ``containers`` run; ``minimum_api``: the oldest API version that it
    speaks; ``engine_proxied``: whether it pulls through a proxy of its own; ``toolkit``: installed
    version of the NVIDIA Container Toolkit; ``ollama``: name of the folder that holds the
    release."""

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

    + folders: to tell the disks of; one that is not there yet counts as the nearest above it
    + store: the model store
    + addresses: URLs to ask for their headers, side by side
    + now: Unix time here, to compare the host's clock with
    + seconds: how long to wait for all addresses together, where the host has processors to spare

    CA certificates to trust besides the host's own may be given as ``_stdin``.
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
