"""What a run will meet around the host: its clock, disks, running containers, what is mounted
where, and whether the addresses that it fetches from answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation.facts.daemon import ENGINE, refuse_wedged
from workstation.facts.shell import Fact, question

# Asks every address side by side, since most of it is waiting. What has not answered in time is
# left behind with the program: a name server that is silent holds its thread for half a minute.
# Certificates on standard input are trusted too: the run may be about to install them. Python 3.13
# is stricter with them than curl, apt and Docker are (ssl.create_default_context). On a machine
# whose processors are busy an answer waits for one of them, however soon it came.
_ASK = r"""
import os, re, socket, ssl, sys, threading, time, urllib.error, urllib.parse, urllib.request
seconds, addresses = float(sys.argv[1]), sys.argv[2:]
if os.getloadavg()[0] > (os.cpu_count() or 1):
    seconds *= 4
context = ssl.create_default_context()
context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
given = sys.stdin.buffer.read().decode(errors="replace")
certificates = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", given, re.S)
if certificates:
    context.load_verify_locations(cadata="\n".join(certificates))


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(Stay(), urllib.request.HTTPSHandler(context=context))
proxied = urllib.request.getproxies()
answers = {address: "name no answer" for address in addresses}


def ask(address):
    try:
        if not proxied:
            socket.getaddrinfo(urllib.parse.urlsplit(address).hostname, None)
        answers[address] = "connect no answer"
        request = urllib.request.Request(address, method="HEAD")
        return f"http {opener.open(request, timeout=seconds).status}"
    except urllib.error.HTTPError as error:
        return f"http {error.code}"
    except Exception as error:
        reason = getattr(error, "reason", error)
        reason = reason if isinstance(reason, Exception) else error
        step = "connect"
        if isinstance(reason, socket.gaierror):
            step = "name"
        elif isinstance(reason, ssl.SSLError):
            step = "tls"
        words = getattr(reason, "verify_message", "") or getattr(reason, "strerror", "")
        return f"{step} {words or reason or type(reason).__name__}"


def note(address):
    answers[address] = ask(address)


threads = [threading.Thread(target=note, args=[each], daemon=True) for each in addresses]
for thread in threads:
    thread.start()
end = time.monotonic() + seconds
for thread in threads:
    thread.join(max(0, end - time.monotonic()))
for address in addresses:
    print("answer", address, " ".join(answers[address].split()))
sys.stdout.flush()
os._exit(0)
"""

# Blanks may be in the names of what is mounted and of where.
_DISK = r"""
place=$1
until [ -d "$place" ]; do place=$(dirname -- "$place"); done
tell() { df -k --output="$1" -- "$place" 2>/dev/null | sed 1d; }
free=$(tell avail) || exit 0
printf 'disk %s\t%s\t%s\t%s\n' "${free##* }" "$(tell fstype)" "$(tell target)" "$1"
"""

# Links that are absolute, or whose dots lead out of the store. People make them for folders and for
# single files of a folder.
_LINKS = r"""
root=$(realpath -e -- "$1" 2>/dev/null) || exit 0
echo "store $root"
find "$root" -xdev -maxdepth 4 -type l -printf '%P\t%l\n' 2>/dev/null | awk -F '\t' '
  NF != 2 {next}
  {leads = substr($2, 1, 1) == "/"; depth = split($1, part, "/") - 1; count = split($2, part, "/")}
  {for (i = 1; i <= count; i++)
    if (part[i] == "..") {if (--depth < 0) leads = 1}
    else if (part[i] != "" && part[i] != ".") depth++}
  leads {print "link " $0}' | head -n 200
"""

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

    @staticmethod
    def default() -> SurroundingsState:
        return SurroundingsState()

    def command(
        self, folders: list[str], addresses: list[str], now: int, seconds: int = 6, store: str = ""
    ) -> StringCommand:
        return question(
            ENGINE
            + r"""
            exec 3<&0
            ask=$1 container=$2 now=$3 seconds=$4 disk=$5 links=$6 store=$7 count=$8; shift 8
            echo "clock $(($(date +%s) - now))"
            while [ "$count" -gt 0 ]; do
              limited 20 sh -c "$disk" sh "$1"
              [ $? != 124 ] || echo "silent $1"
              shift; count=$((count - 1))
            done
            [ -z "$store" ] || limited 30 sh -c "$links" sh "$store" >"$answers/links" &

            if command -v python3 >/dev/null && [ $# != 0 ]; then
              python3 -B -c "$ask" "$seconds" "$@" <&3 >"$answers/network" 2>/dev/null &
            fi
            timeout "$seconds" timedatectl show -p NTPSynchronized --value 2>/dev/null \
              | sed 's/^/synchronised /' >"$answers/time" &
            if command -v docker >/dev/null; then
              if running=$(engine ps -q --no-trunc 2>/dev/null); then
                echo listed
                [ -z "$running" ] || engine inspect -f "$container" $running 2>/dev/null
              fi >"$answers/containers" &
              engine info -f '{{if or .HTTPProxy .HTTPSProxy}}engine-proxied{{end}}' \
                >"$answers/engine" 2>/dev/null &
              engine version -f 'minimum-api {{.Server.MinAPIVersion}}' \
                >"$answers/api" 2>/dev/null &
            fi
            echo "toolkit $(answered dpkg-query -W -f '${Version}' nvidia-container-toolkit \
              2>/dev/null)"
            [ ! -e /usr/local/bin/ollama ] || echo "ollama $(readlink -f /usr/local/bin/ollama)"
            wait
            cat "$answers"/*
            """,
            _ASK,
            _CONTAINER,
            now,
            seconds,
            _DISK,
            _LINKS,
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
