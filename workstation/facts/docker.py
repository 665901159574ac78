"""The Docker Engine of the host: what is installed, how it is configured."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question

# The client's is told also where no Engine answers.
_VERSIONS = "client {{.Client.Version}}{{if .Server}}{{println}}server {{.Server.Version}}{{end}}"
_BRIDGE = "bridge {{range .IPAM.Config}}{{.Gateway}}{{end}}"


@dataclass(frozen=True)
class EngineState:
    """Versions are empty where a part is missing; ``daemon_json`` is None without a file.
    ``bridge`` is the gateway address of the default bridge network; ``without_daemon``: there is a
    client, but no ``dockerd``; ``unfinished``: Docker's packages that dpkg left half done."""

    client: str = ""
    server: str = ""
    compose: str = ""
    buildx: str = ""
    snap: bool = False
    daemon_json: bytes | None = None
    bridge: str = ""
    without_daemon: bool = False
    unfinished: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Engine, Buildx and a Compose plugin of at least 2.24 are there, it is not a snap, and
        no package of them is half done: its programs may be there without its group and units."""
        return bool(
            self.client
            and self.buildx
            and version(self.compose) >= (2, 24)
            and not (self.snap or self.without_daemon or self.unfinished)
        )


def version(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``v2.26.1-4`` is ``(2, 26, 1)``."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


class Engine(Fact[EngineState]):
    """Returns the ``EngineState`` of the host."""

    @staticmethod
    def default() -> EngineState:
        return EngineState()

    def command(self) -> StringCommand:
        # Each of Docker's programs takes a while to start: side by side.
        return question(
            """
            [ ! -f /etc/docker/daemon.json ] || echo "daemon $(base64 -w0 /etc/docker/daemon.json)"
            client=$(command -v docker) || exit 0
            case $(readlink -f "$client") in *snap*) echo snap ;; esac
            command -v dockerd >/dev/null || echo without_daemon
            echo "unfinished $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
              'docker*' 'containerd*' runc 2>/dev/null \
              | awk '$1 ~ /^(unpacked|half-configured|half-installed)$/ { printf "%s ", $2 }')"
            docker version -f "$1" >"$answers/versions" 2>/dev/null &
            echo "compose $(docker compose version --short 2>/dev/null)" >"$answers/compose" &
            echo "buildx $(docker buildx version 2>/dev/null | cut -d' ' -f2)" >"$answers/buildx" &
            docker network inspect bridge -f "$2" >"$answers/bridge" 2>/dev/null &
            wait
            cat "$answers"/*
            """,
            _VERSIONS,
            _BRIDGE,
        )

    def read(self, lines: list[str]) -> EngineState:
        words = dict(line.partition(" ")[::2] for line in lines)
        return EngineState(
            client=words.get("client", ""),
            server=words.get("server", ""),
            compose=words.get("compose", ""),
            buildx=words.get("buildx", ""),
            snap="snap" in words,
            daemon_json=base64.b64decode(words["daemon"]) if "daemon" in words else None,
            bridge=words.get("bridge", ""),
            without_daemon="without_daemon" in words,
            unfinished=tuple(words.get("unfinished", "").split()),
        )


class Networks(Fact[list[str]]):
    """Returns the names of Docker's networks; none where no Engine answers, which has some."""

    @staticmethod
    def default() -> list[str]:
        return []

    def command(self) -> StringCommand:
        return question("docker network ls --format '{{.Name}}' 2>/dev/null || true")

    def read(self, lines: list[str]) -> list[str]:
        return lines
