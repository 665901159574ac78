"""What proves that a stack works: probes derived from its Compose file, and how to judge them.

A probe is a small shell script that runs on the host; nothing in here names a service, so a new
one is checked without new code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workstation.findings import Finding
from workstation.project import ProjectState
from workstation.settings import Settings
from workstation.stack import Service, Stack, is_below

_HTTP = """
code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 15 -H "Host: $1" "http://127.0.0.1:$2$3")
echo "HTTP $code"
[ "$code" -ge 200 ] && [ "$code" -lt 400 ]
"""

# The handshake of RFC 6455; curl then waits for frames until its time is up.
_WEBSOCKET = """
code=$(curl -s -o /dev/null -w '%{http_code}' --http1.1 --max-time 5 -H "Host: $1" \\
  -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\
  -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:$2$3")
echo "HTTP $code"
[ "$code" = 101 ]
"""

_GPU = 'docker exec "$1" nvidia-smi --query-gpu=name,compute_cap,memory.total --format=csv,noheader'

_READ_ONLY = """
docker exec "$1" test -d "$2" || { echo "$2 is not there"; exit 1; }
count=$(docker exec "$1" sh -c 'ls -1 "$1" | wc -l' sh "$2") || exit 1
if docker exec "$1" sh -c ': > "$1/.acceptance"' sh "$2" 2>/dev/null; then
  docker exec "$1" rm -f "$2/.acceptance"
  echo "$2 is writable"; exit 1
fi
echo "$2 has $count entries, writing is refused"
"""

# As the user that the service itself runs as, which an entrypoint may have changed to.
_WRITE = """
user=$(docker top "$1" -eo uid,pid | awk 'NR > 1 {print $1}' | sort -n | tail -n 1)
docker exec --user "${user:-0}" "$1" \
  sh -c 'printf "%s" "$2" > "$1/.acceptance-$2"' sh "$2" "$3" 2>&1 || exit 1
echo "written by uid ${user:-0}"
"""

# Whatever HTTP client an image happens to have.
_OLLAMA = """
url=http://host.docker.internal:$2/api/version
docker exec "$1" sh -c '
  if command -v curl >/dev/null; then exec curl -sf --max-time 10 "$1"; fi
  if command -v wget >/dev/null; then exec wget -qO- -T 10 "$1"; fi
  if command -v python3 >/dev/null; then
    exec python3 -c "import sys, urllib.request as request
print(request.urlopen(sys.argv[1], timeout=10).read().decode())" "$1"
  fi
  if command -v node >/dev/null; then
    exec node -e "fetch(process.argv[1]).then(r => r.text()).then(console.log)" "$1"
  fi
  echo "the image has no HTTP client"; exit 3' sh "$url" 2>&1
"""

_OLLAMA_LAN = """
status=0
for address in $(ip -4 -o addr show scope global | awk '$2 !~ /^(docker|br-|veth|tun|tailscale)/ {
    split($4, part, "/"); print part[1]}'); do
  if curl -s -o /dev/null --max-time 3 "http://$address:$1/"; then
    echo "$address:$1 answers"; status=1
  else
    echo "$address:$1 does not answer"
  fi
done
exit $status
"""


@dataclass(frozen=True)
class Probe:
    """A script with its arguments, whose exit status decides and whose output is the evidence."""

    name: str
    script: str
    arguments: tuple[str, ...]
    fix: str


@dataclass(frozen=True)
class Answer:
    """What a probe printed, and whether it succeeded."""

    ok: bool
    output: str


def service_probes(
    stack: Stack, state: ProjectState, settings: Settings, token: str
) -> Iterator[Probe]:
    """Yield the probes of every service of a stack that runs.

    + state: the project on the host; a service without a container has no probe inside it
    + token: random text of this run, part of the names of test files
    """
    containers = {name: container.id for name, container in state.by_service().items()}
    for service in stack.running:
        yield from _route_probes(stack.name, service, settings)
        if service.name in containers:
            yield from _inside_probes(
                f"{stack.name}/{service.name}", service, containers[service.name], settings, token
            )


def _route_probes(stack: str, service: Service, settings: Settings) -> Iterator[Probe]:
    if service.host:
        yield Probe(
            f"{stack}/{service.name} answers on {service.host}",
            _HTTP,
            (service.host, str(settings.proxy_http_port), service.probe),
            "read its log and the proxy's: `docker logs`; Traefik hides what is not healthy",
        )
    if service.host and service.websocket:
        yield Probe(
            f"{stack}/{service.name} takes websockets",
            _WEBSOCKET,
            (service.host, str(settings.proxy_http_port), service.websocket),
            "look for a middleware of the proxy that buffers or compresses",
        )


def _inside_probes(
    name: str, service: Service, container: str, settings: Settings, token: str
) -> Iterator[Probe]:
    if service.gpu:
        yield Probe(
            f"{name} sees the GPU",
            _GPU,
            (container,),
            "run `nvidia-smi` on the host and tasks/nvidia.py",
        )
    for mount in service.mounts:
        if mount.read_only and is_below(mount.source, settings.models_path):
            yield Probe(
                f"{name} reads models, and only reads",
                _READ_ONLY,
                (container, mount.target),
                "run tasks/storage.py and tasks/stacks.py",
            )
        if not mount.read_only and is_below(mount.source, settings.smb_mount):
            yield Probe(
                f"{name} writes outputs",
                _WRITE,
                (container, mount.target, token),
                "run tasks/smb.py; the share's owner must be the user of the container",
            )
    if any("host.docker.internal" in str(entry) for entry in service.keys.get("extra_hosts") or ()):
        yield Probe(
            f"{name} reaches Ollama",
            _OLLAMA,
            (container, str(settings.ollama_port)),
            "run tasks/ollama.py; see `systemctl status ollama-docker.socket`",
        )


def host_probes(settings: Settings) -> Iterator[Probe]:
    """Yield the probes of the host itself."""
    port = str(settings.ollama_port)
    yield Probe(
        "Ollama answers on the host",
        'curl -sf --max-time 10 "http://127.0.0.1:$1/api/version"',
        (port,),
        "run tasks/ollama.py; see `journalctl -u ollama`",
    )
    yield Probe(
        "Ollama does not answer on the LAN",
        _OLLAMA_LAN,
        (port,),
        "run tasks/ollama.py; look for an OLLAMA_HOST in drop-ins of ollama.service",
    )


def health_findings(stack: Stack, state: ProjectState) -> Iterator[Finding]:
    """Yield whether each service has one container that runs and is healthy."""
    containers = state.by_service()
    for service in stack.running:
        container = containers.get(service.name)
        seen = "no container"
        if container:
            seen = container.state + (f", {container.health}" if container.health else "")
        yield Finding(
            f"{stack.name}/{service.name} is healthy",
            container is not None
            and container.state == "running"
            and container.health in ("", "healthy"),
            seen,
            f"read `docker compose -p {stack.name} logs {service.name}`, then run tasks/stacks.py",
        )


def outputs(stacks: Iterable[Stack], settings: Settings) -> list[tuple[str, str]]:
    """Return ``(service, folder on the share)`` of each mount that outputs are written to."""
    return [
        (
            f"{stack.name}/{service.name}",
            mount.source.removeprefix(settings.smb_mount).strip("/") or ".",
        )
        for stack in stacks
        for service in stack.running
        for mount in service.mounts
        if not mount.read_only and is_below(mount.source, settings.smb_mount)
    ]
