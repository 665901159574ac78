"""The images built here, from their real upstream sources, on a Docker Engine without emulation."""

from __future__ import annotations

import json
import os
import resource
import runpy
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.engine import Engine
from lab.image import outer_bundle
from workstation import mirror, pins, settings
from workstation.compose.builds import bake_definition, labels
from workstation.pins import Source
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.stack import Mount

ROOT = Path(__file__).parents[2]
SERVICES = ("fooocus", "forge", "fluxgym", "ai-toolkit")
CA = "/etc/ai-workstation-ca.pem"


@dataclass
class Workshop:
    """An Engine and the stack whose images it builds, without a GPU."""

    engine: Engine
    stack: RenderedStack
    models: str
    share: str
    sources: dict[str, Source]
    ca_marker: str

    def image(self, service: str) -> str:
        """Return the reference of a service's image."""
        return next(s.image for s in self.stack.model.services if s.name == service)

    def build(self, *names: str) -> str:
        """Build services' images, and the base with them, like the deploy does; return the log."""
        dockerfiles = {s.name: self.stack.dockerfile(s) for s in self.stack.model.built}
        said = {
            s.name: labels(s, self.stack.source(s, self.sources), "now")
            for s in self.stack.model.built
        }
        definition = bake_definition(
            self.stack.model, dockerfiles, ["base", *names], [f"id=ca,src={CA}"], said
        )
        result = self.engine.docker(
            *("buildx", "bake", "--builder", "default", "--progress", "plain", "-f", "-"),
            stdin=json.dumps(definition),
            check=True,
        )
        return result.stdout + result.stderr

    def run(self, service: str, *command: str, user: str = "") -> str:
        """Run a command in a new container of a service's image; return its output."""
        who = ["--user", user] if user else []
        entrypoint, *arguments = command
        result = self.engine.docker(
            *("run", "--rm", *who, "--entrypoint", entrypoint, self.image(service), *arguments),
            check=True,
        )
        return result.stdout + result.stderr

    def size(self, service: str) -> int:
        """Return the size of an image in bytes, including shared layers."""
        said = self.engine.docker(
            "image", "inspect", "-f", "{{.Size}}", self.image(service), check=True
        )
        return int(said.stdout)

    def outputs(self, service: str) -> Mount:
        """Return a service's mount of the share."""
        found = next(s for s in self.stack.model.services if s.name == service)
        return next(m for m in found.mounts if m.source.startswith(f"{self.share}/"))

    def compose(self, *arguments: str) -> str:
        """Run docker compose on the stack; return its output."""
        folder = ["--project-directory", self.stack.folder]
        result = self.engine.docker("compose", *folder, *arguments, check=True)
        return result.stdout + result.stderr

    def log(self, service: str) -> str:
        """Return the log of a service's container."""
        return self.compose("logs", "--no-color", "--no-log-prefix", service)

    def wait_healthy(self, service: str, seconds: float) -> None:
        """Wait until a service's own health check succeeds; fail with its log."""
        container = self.compose("ps", "-aq", service).strip()
        form = "{{.State.Status}} {{.State.Health.Status}} {{.RestartCount}}"
        deadline = time.monotonic() + seconds
        while True:
            status = self.engine.docker("inspect", "-f", form, container).stdout.split()
            if status[:2] == ["running", "healthy"]:
                return
            if time.monotonic() > deadline or status[2:] not in (["0"], []):
                pytest.fail(f"{service} is {' '.join(status)}:\n{self.log(service)[-6000:]}")
            time.sleep(2)


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """The running Engine, with the stack's folder, store, share and network in place."""
    where = mirror.load(os.environ.get("MIRROR", ""))
    values = settings.load(settings.defaults(ROOT / "group_data" / "all.py"))
    data = runpy.run_path(str(ROOT / "group_data" / "dhoch3.py"))["dhoch3"]
    pinned = pins.load(ROOT / "pins.yml", where.pins)
    stack = StackRenderer("dhoch3", values, pinned, where, data, gpu=False).render()
    engine = Engine(insecure_registry=where.registry if where.insecure else "")
    engine.start()
    # In a sandbox, containers may not be allowed to open as many files as on a workstation.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    compose = stack.compose.replace("65536", str(min(hard, 65536))).encode()
    engine.place(stack.folder, {**stack.files, "compose.yaml": compose})
    bundle, marker = bundle_with_a_mark(engine.root / "var/lib/marked-ca.pem")
    engine.place(str(Path(CA).parent), {Path(CA).name: bundle}, fresh=False)
    for folder in values.models_folders:
        (engine.root / values.models_path.lstrip("/") / folder).mkdir(parents=True, exist_ok=True)
    for place in stack.places:
        if place.home == "share":
            folder = engine.root / place.path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, values.service_uid, values.service_gid)
    engine.docker("network", "create", values.proxy_network)
    yield Workshop(engine, stack, values.models_path, values.smb_mount, pinned.sources, marker)
    engine.docker("compose", "--project-directory", stack.folder, "down")
    engine.stop()


def bundle_with_a_mark(kept: Path) -> tuple[bytes, str]:
    """Return this machine's CA certificates plus a made-up one, and a line of the latter: builds
    get the bundle, but must not keep it. The made-up certificate is kept for later builds."""
    if not kept.exists():
        subject = ["-subj", "/CN=handed to builds"]
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-days", "3650"]
        command = ["openssl", "req", "-x509", *key, *subject, "-out", str(kept)]
        subprocess.run(command, check=True, capture_output=True)
    certificate = kept.read_text()
    return outer_bundle().read_bytes() + certificate.encode(), certificate.splitlines()[3]
