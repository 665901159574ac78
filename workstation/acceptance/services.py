"""Checks of what a service promises in its Compose entry: it can be reached, and can use what it
is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from workstation import scripts
from workstation.acceptance import Answer, Probe
from workstation.acceptance.checks import check_probe
from workstation.compose.actions import ProjectState
from workstation.compose.keys import HOST_NAME, reaches_host
from workstation.compose.ports import reached
from workstation.findings import Finding
from workstation.nvidia.smi import row
from workstation.settings import Settings
from workstation.stack import Mount, Service, Stack, is_below

# Seconds that a service may take to answer: it may be loading a model on a busy machine. A healthy
# one answers at once, and a stopped one refuses the connection at once.
PATIENCE = 200

_GPU_QUERY = "nvidia-smi --query-gpu=name,memory.total,compute_cap --format=csv"
# An image's PATH may not include the folder where the driver's programs are mounted.
_GPU = (
    'docker exec "$1" sh -c \'PATH=$PATH:/usr/local/nvidia/bin:/usr/lib/wsl/lib; '
    f"exec {_GPU_QUERY}' 2>&1"
)
_WARNING = 14
"""Exit status for a corrupted infoROM (nvidia-smi(1), "RETURN VALUE")."""

# Other mounts of the container below the target hide a part of the folder.
_OWNER = r"""
stat -L -c 'owner %u:%g %a %U:%G' -- "$2" 2>&1 || exit 1
docker inspect -f '{{range .Mounts}}{{println "mount" .Destination}}{{end}}' "$1" 2>&1
"""


@dataclass(frozen=True)
class Entrance:
    """Where requests for a service enter; ``shown`` is for people, the rest for curl. ``login``:
    what the proxy asks for; empty if requests do not pass it."""

    shown: str
    base: str
    options: tuple[str, ...] = ()
    login: str = ""

    @property
    def with_login(self) -> tuple[str, ...]:
        """The options that log in: a file that ``answers.sh`` writes, for what nobody may see."""
        return ("-K", "login", *self.options) if self.login == "password" else self.options

    def curl(self, *words: str) -> str:
        """Return a command of curl as a person runs it; it asks for the password."""
        user = ("-u", "NAME") if self.login == "password" else ()
        return shlex.join(["curl", *user, *words[:-1], *self.options, words[-1]])


def proxy_entrance(settings: Settings) -> tuple[Literal["http", "https"], int]:
    """Return the scheme and port where browsers reach the proxy. An existing proxy with
    certificates uses HTTPS's standard port; ``proxy_http_port`` is for plain HTTP."""
    if settings.tls != "off":
        return "https", settings.proxy_https_port
    # For our own proxy, settings.py rejects a resolver.
    return ("https", 443) if settings.proxy_certresolver else ("http", settings.proxy_http_port)


def certificate_probe(settings: Settings, stacks: Iterable[Stack]) -> Probe | None:
    """Return the probe of the certificates of our own proxy; None if it has none."""
    names = [one.host for stack in stacks for one in stack.running if one.host]
    if settings.tls == "off" or not names:
        return None
    fix = {
        "files": "set TLS_CERTIFICATE and TLS_KEY to a new one, then run tasks/proxy.py",
        "acme": "read why in the proxy's log: `docker compose -p proxy logs traefik`",
        "internal": "see `systemctl status ai-workstation-tls.timer`, then run tasks/proxy.py",
    }
    port = str(settings.proxy_https_port)
    return Probe(
        "certificate of the proxy",
        scripts.text("acceptance/certificate.sh"),
        (f"{settings.proxy_shown}:{port}", *names),
        fix[settings.tls],
        f"openssl s_client -connect {settings.proxy_shown}:{port} -servername {names[0]}",
    )


def entrance(service: Service, settings: Settings) -> Entrance | None:
    """Return where to query a service: at the proxy by its name, or at the first TCP port that it
    publishes. None if only other containers can reach it, or if it sets ``probe: ""``."""
    if not service.probe:
        return None
    if service.host:
        scheme, port = proxy_entrance(settings)
        login = settings.login_of(service.name)
        if scheme == "http":
            return Entrance(
                service.host,
                f"http://{settings.proxy_shown}:{port}",
                ("-H", f"Host: {service.host}"),
                login,
            )
        # The name is needed for SNI; the certificate's validity is not checked here.
        return Entrance(
            service.host,
            f"https://{service.host}:{port}",
            ("-k", "--resolve", f"{service.host}:{port}:{settings.proxy_shown}"),
            login,
        )
    first = reached(service)
    if first is None:
        return None
    address = "127.0.0.1" if first.address == "*" else first.address
    shown = f"[{address}]:{first.number}" if ":" in address else f"{address}:{first.number}"
    return Entrance(shown, f"http://{shown}")


def service_probes(
    stack: Stack, state: ProjectState, settings: Settings, token: str
) -> Iterator[Probe]:
    """Yield the probes of every running service of a stack.

    + state: the project on the host; a service without a container gets no probes inside it
    + token: random text of this run, used in the names of test files
    """
    containers = {name: container.id for name, container in state.by_service().items()}
    for service in stack.running:
        yield from _request_probes(stack, service, settings)
        yield from _tunnel_probes(stack, service, settings)
        if service.name in containers:
            yield from _inside_probes(stack, service, containers[service.name], settings, token)


def _request_probes(stack: Stack, service: Service, settings: Settings) -> Iterator[Probe]:
    subject = f"{stack.name}/{service.name}"
    into = entrance(service, settings)
    if into is None:
        return
    fix = f"read its log: `docker compose -p {stack.name} logs {service.name}`"
    if service.host:
        fix += (
            "; then the proxy's log. Traefik answers 404 for unknown names, and 502 for a service "
            "that does not run"
        )
    url = into.base + service.probe
    if into.login:
        yield _login_probe(subject, into, url)
    # Another program's login cannot be passed here.
    if into.login != "forward":
        yield Probe(
            f"{subject} answers on {into.shown}",
            scripts.text("acceptance/http.sh"),
            (str(PATIENCE), url, *into.with_login),
            fix,
            into.curl("-i", "--max-time", str(PATIENCE), url),
            subject,
        )
    if service.setup and into.login != "forward":
        url = into.base + service.setup["path"]
        yield Probe(
            f"{subject} has an administrator",
            scripts.text("acceptance/no_setup.sh"),
            (str(PATIENCE), service.setup["shows"], url, *into.with_login),
            "whoever opens it first becomes its administrator: run tasks/stacks.py, which creates "
            f"the account, and read the log: `docker compose -p {stack.name} logs {service.name}`",
            into.curl(url),
            subject,
        )
    if service.websocket and into.login != "forward":
        url = into.base + service.websocket
        upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"]
        upgrade += ["-H", "Sec-WebSocket-Version: 13"]
        upgrade += ["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        yield Probe(
            f"{subject} takes websockets",
            scripts.text("acceptance/websocket.sh"),
            (str(PATIENCE), url, *into.with_login),
            "look for a middleware in the proxy that buffers or compresses"
            if service.host
            else fix,
            into.curl("-i", "-N", "--http1.1", *upgrade, url),
            subject,
        )


def _login_probe(subject: str, into: Entrance, url: str) -> Probe:
    """Return the probe of what a stranger gets, and a page of another origin."""
    names = {
        "none": f"{subject} refuses pages of other origins",
        "unknown": f"{subject} asks for a login",
    }
    return Probe(
        names.get(into.login, f"{subject} asks for a login and refuses pages of other origins"),
        scripts.text("acceptance/locked.sh"),
        (str(PATIENCE), url, into.login, *into.options),
        "run tasks/proxy.py"
        if into.login != "unknown"
        else "add a middleware of your proxy that asks for one to PROXY_MIDDLEWARES",
        shlex.join(["curl", "-i", *into.options, url]),
        subject,
        _open_route if into.login == "unknown" else None,
    )


def _open_route(probe: Probe, answer: Answer) -> Iterator[Finding]:
    """Yield a note for a route of somebody else's proxy by which everybody reaches the service."""
    found = probe.finding(True, answer.detail, answer)
    yield replace(found, note=answer.output.startswith("HTTP 2"))


def _tunnel_probes(stack: Stack, service: Service, settings: Settings) -> Iterator[Probe]:
    """Yield the probes of a port that people reach through a tunnel: it must be closed to the LAN,
    and it does not speak HTTPS."""
    subject = f"{stack.name}/{service.name}"
    port = reached(service)
    if service.host or port is None or not port.loopback:
        return
    if into := entrance(service, settings):
        tls = into.base.replace("http:", "https:")
        yield Probe(
            f"{subject} speaks plain HTTP",
            scripts.text("acceptance/not_tls.sh"),
            (tls, into.base),
            f"open {into.base} instead of https:// (which fails with `wrong version number`)",
            shlex.join(["curl", "-k", tls]),
            subject,
        )
    yield Probe(
        f"{subject} does not answer on the LAN",
        scripts.text("acceptance/not_on_lan.sh"),
        (str(port.number),),
        f"publish it as 127.0.0.1:{port.number}; from elsewhere, use a tunnel to this machine: "
        f"`ssh -L {port.number}:{port.address}:{port.number}`",
        f"curl http://ADDRESS:{port.number}/; ss -Hltnp 'sport = :{port.number}'",
        subject,
    )


def _inside_probes(
    stack: Stack, service: Service, container: str, settings: Settings, token: str
) -> Iterator[Probe]:
    name = f"{stack.name}/{service.name}"
    within = ("docker", "compose", "-p", stack.name, "exec")
    if service.gpu:
        yield Probe(
            f"{name} sees the GPU",
            _GPU,
            (container,),
            "run `nvidia-smi` on the host, then run tasks/nvidia.py",
            shlex.join([*within, service.name, *_GPU_QUERY.split()]),
            name,
            _gpu_findings,
        )
    for mount in service.mounts:
        file = f"{mount.target}/.acceptance-{token}"
        if mount.read_only and is_below(mount.source, settings.models_path):
            asked = f"ls -1A {shlex.quote(mount.target)}; : >{shlex.quote(file)}"
            yield Probe(
                f"{name} reads models, and only reads",
                scripts.text("acceptance/read_only.sh"),
                (container, mount.target, token),
                "run tasks/storage.py and tasks/stacks.py",
                shlex.join([*within, service.name, "sh", "-c", asked]),
                name,
            )
        if not mount.read_only and is_below(mount.source, settings.smb_mount):
            asked = f"printf %s {token} >{shlex.quote(file)}"
            yield Probe(
                f"{name} writes outputs",
                scripts.text("acceptance/write.sh"),
                (container, mount.target, token),
                "run tasks/smb.py; the share must belong to the user that the container runs as",
                shlex.join([*within, "--user", "UID", service.name, "sh", "-c", asked]),
                name,
            )
    if reaches_host(service.keys):
        url = f"http://{HOST_NAME}:{settings.ollama_port}/api/version"
        yield Probe(
            f"{name} reaches Ollama",
            scripts.text("acceptance/reaches_ollama.sh"),
            (container, url),
            "run tasks/ollama.py; see `systemctl status ollama-docker.socket`",
            shlex.join([*within, service.name, "curl", url]),
            name,
        )

    for mount in service.mounts:
        if mount.kind == "bind" and mount.source in service.owners:
            yield _owner_probe(name, mount, service.owners[mount.source], container)
    if service.check:
        yield check_probe(stack, service, service.check, container)
    if service.says or service.troubles:
        logs = shlex.join(["docker", "compose", "-p", stack.name, "logs", service.name])
        yield Probe(
            f"{name}'s log",
            scripts.text("acceptance/log.sh"),
            (container, service.says, *service.troubles),
            f"read it: `{logs}`",
            logs,
            name,
            lambda probe, answer: _log_findings(probe, answer, service),
        )


def _owner_probe(name: str, mount: Mount, owner: str, container: str) -> Probe:
    return Probe(
        f"{name} has {mount.target} as one folder of its own",
        _OWNER,
        (container, mount.source),
        f"run tasks/stacks.py, which gives {mount.source} to {owner}; mount the whole folder, with "
        f"nothing else below {mount.target}, or the service fails to start with `owned by "
        "unexpected user/group`",
        shlex.join(["stat", "-c", "%u:%g %a", mount.source]),
        name,
        lambda probe, answer: _owner_findings(probe, answer, mount.target, owner),
    )


def _owner_findings(probe: Probe, answer: Answer, target: str, owner: str) -> Iterator[Finding]:
    """Yield the finding from ``owner 1024:1024 775 UNKNOWN:UNKNOWN``, then ``mount /comfy/mnt`` for
    each mount. A name may contain spaces, such as ``domain users``."""
    if not answer.ok:
        yield probe.finding(False, answer.detail, answer)
        return
    first, *others = answer.output.splitlines()
    _, numbers, mode, names = first.split(" ", 3)
    wanted, _, wanted_mode = owner.partition(" ")
    parts = zip(wanted.split(":"), numbers.split(":"), names.split(":"), strict=True)
    same = all(one in either for one, *either in parts) and mode == (wanted_mode or "755")
    mounts = [line.removeprefix("mount ") for line in others if line.startswith("mount ")]
    inner = [mount for mount in mounts if is_below(mount, target) and mount != target]
    seen = f"it belongs to {numbers}, mode {mode}"
    if inner:
        seen = f"{', '.join(inner)} is mounted below it"
    yield probe.finding(same and not inner, seen, answer)


def _log_findings(probe: Probe, answer: Answer, service: Service) -> Iterator[Finding]:
    """Yield the findings from lines that begin with ``says``, ``trouble`` or ``log``; ``rotated``
    if the beginning of the log is gone."""
    lines = [line.partition(" ")[::2] for line in answer.output.splitlines()]
    found = [text for word, text in lines if word == "trouble"]
    known = next(
        (fix for trouble, fix in service.troubles.items() if found and trouble in found[0]), ""
    )
    clean = replace(probe, name=f"{probe.name} is clean", fix=known or probe.fix)
    if not answer.ok:
        yield clean.finding(False, answer.detail, answer)
        return
    if service.troubles:
        yield clean.finding(not found, found[0] if found else "no known problem", answer)
    if service.says:
        told = next((text for word, text in lines if word == "says"), "")
        rotated = ("rotated", "") in lines
        said = replace(probe, name=f'{probe.name} says "{service.says}"')
        seen = told.strip() or (
            "unknown, because the log was rotated" if rotated else "not since its start"
        )
        yield replace(said.finding(bool(told), seen, answer), note=rotated and not told)


def _gpu_findings(probe: Probe, answer: Answer) -> Iterator[Finding]:
    """Yield the finding from nvidia-smi's output: a header, one row per card, and warnings, also
    with status 14. Without cards it may still exit with 0."""
    lines = [line.strip() for line in answer.output.splitlines() if line.strip()]
    rows = [row(line) for line in lines]
    names = [one.name for one in rows if one]
    if not names or not (answer.ok or answer.status == _WARNING):
        yield probe.finding(False, answer.detail, answer)
        return
    told = names[0] if len(names) == 1 else f"{len(names)} GPUs: {', '.join(names)}"
    words = [line for line, one in zip(lines, rows, strict=True) if not (one or "[MiB]" in line)]
    yield probe.finding(True, told + (f" ({words[0]})" if words else ""), answer)


def outputs(stacks: Iterable[Stack], settings: Settings) -> list[tuple[str, str]]:
    """Return ``(service, folder on the share)`` for each mount that outputs are written to."""
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
