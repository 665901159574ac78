"""Properties that no service of any stack may have, checked in the parsed Compose files, in every
rendered form, and in the files from which images are built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml

from tests.unit.test_templates import MIRROR, SOCKET, STACKS, configured, render
from workstation.rendered import RenderedStack
from workstation.settings import SECRETS

MARK = "Geheim-marker-"
BACKENDS = ("llamacpp", "vllm", "none")

SUDO = {"comfy"}
"""Its image's user becomes another one by sudo: docs/hardening.md."""
SOCKETS = {"dockge": f"{SOCKET}:{SOCKET}"}
"""Who may speak with Docker, and how: docs/hardening.md."""

# capabilities(7): each of them allows an escape from the container, or affects others.
OUT_OF_A_CONTAINER = {
    *("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_BOOT", "SYS_CHROOT"),
    *("NET_ADMIN", "NET_RAW", "DAC_READ_SEARCH", "BPF", "PERFMON", "MKNOD", "LINUX_IMMUTABLE"),
    *("MAC_ADMIN", "MAC_OVERRIDE", "SYSLOG", "SYS_TIME", "SETFCAP", "CHECKPOINT_RESTORE"),
}
KEEPS_NOTHING_APART = {
    *("privileged", "pid", "ipc", "uts", "cgroup", "cgroup_parent", "userns_mode", "network_mode"),
    *("devices", "device_cgroup_rules", "sysctls", "volumes_from", "use_api_socket", "extends"),
    *("links", "external_links", "env_file", "dns", "credential_spec", "runtime"),
}


@dataclass(frozen=True)
class Form:
    """A stack in one of its rendered forms."""

    name: str
    stack: RenderedStack

    @property
    def compose(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.stack.compose)
        return found

    @property
    def running(self) -> dict[str, dict[str, Any]]:
        return {
            name: keys for name, keys in self.compose["services"].items() if "profiles" not in keys
        }


def _forms() -> Iterator[Form]:
    secrets = {name: f"{MARK}{name}" for name in SECRETS}
    for stack in STACKS:
        backends = BACKENDS if stack == "knowledge-center" else ("",)
        for gpu in (True, False):
            for mirror in (None, MIRROR):
                for backend in backends:
                    changed = {"llm_backend": backend} if backend else None
                    name = f"{stack}-{'gpu' if gpu else 'cpu'}-{'mirror' if mirror else 'direct'}"
                    made = render(stack, mirror, gpu, changed, **secrets)
                    yield Form(f"{name}-{backend}".rstrip("-"), made)


FORMS = list(_forms())
each = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


def test_every_stack_is_looked_at():
    """Every stack is included, each with running services."""
    assert {form.stack.model.name for form in FORMS} == set(STACKS)
    assert len(FORMS) == 4 * (len(STACKS) - 1) + 4 * len(BACKENDS)
    for form in FORMS:
        assert form.running, form.name


@each
def test_no_service_has_more_than_it_must(form: Form):
    """Capabilities are dropped, none allows an escape, and nothing is shared with the host."""
    for name, keys in form.running.items():
        wanted = [] if name in SUDO else ["no-new-privileges=true"]
        assert keys.get("security_opt", []) == wanted, name
        assert keys["cap_drop"] == ["ALL"], name
        assert not set(keys.get("cap_add", [])) & OUT_OF_A_CONTAINER, name
        assert not keys.keys() & KEEPS_NOTHING_APART, name


@each
def test_only_the_proxy_is_published_beyond_loopback(form: Form):
    """On its one port; ports published by Docker bypass firewalls such as ufw."""
    for name, keys in form.running.items():
        ports = keys.get("ports", [])
        if name == "traefik":
            assert ports == ["80:80"]
            continue
        for port in ports:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), (name, port)


@each
def test_docker_makes_no_folder_of_the_host(form: Form):
    """If the disk or the share were not mounted, it would be created on the system's disk. Mounts
    of the host are written in long syntax, which prevents that. Only a stack's own files, the
    folder of all stacks, and the socket use the short syntax."""
    values = configured(form.stack.model.name)
    for name, keys in form.running.items():
        for entry in keys.get("volumes", []):
            if isinstance(entry, dict):
                assert entry["type"] == "bind", name
                assert entry["source"].startswith("/"), name
                assert entry["bind"] == {"create_host_path": False}, (name, entry)
                continue
            source, *_, options = entry.split(":")
            if source.startswith("./"):
                file = source.removeprefix("./")
                assert options == "ro", (name, entry)
                assert any(f"{path}/".startswith(f"{file}/") for path in form.stack.files), entry
            elif source == values.stacks_dir:
                assert name == "dockge"
            elif source == SOCKET:
                assert SOCKETS.get(name) == entry
            else:
                assert re.fullmatch(r"[a-z][a-z0-9-]*", source), (name, entry)
                assert source in form.compose["volumes"], (name, entry)


@each
def test_a_service_sees_the_store_the_share_and_its_own_folders_alone(form: Form):
    """Models are read-only, and there is one folder of the share; never the system, its users, or
    Docker's data."""
    values = configured(form.stack.model.name)
    owned = [place.path for place in form.stack.places if place.home == "own"]
    seen = 0
    for service in form.stack.model.running:
        for mount in service.mounts:
            seen += mount.kind == "bind"
            if mount.kind != "bind" or mount.source.startswith(f"{form.stack.folder}/"):
                continue
            if f"{mount.source}/".startswith(f"{values.models_path}/"):
                assert mount.read_only, (service.name, mount)
            elif f"{mount.source}/".startswith(f"{values.smb_mount}/"):
                assert re.fullmatch(r"[A-Za-z]+", mount.source.removeprefix(f"{values.smb_mount}/"))
            elif mount.source not in (SOCKET, values.stacks_dir):
                assert mount.source in owned, (service.name, mount)
                assert mount.source in service.owners, (service.name, mount)
    assert seen or form.name.endswith("none")


@each
def test_no_secret_is_in_a_file_that_is_laid_down(form: Form):
    """Each has a separate file."""
    for path, content in form.stack.files.items():
        assert MARK.encode() not in content, path
    assert MARK not in repr(form.stack)
    for secret in form.stack.model.secrets:
        assert form.stack.secret(secret) == f"{MARK}{secret.setting}".encode()
        readers = [one for one in form.stack.model.running if secret.setting in one.secrets]
        assert readers
        for reader in readers:
            user = reader.keys.get("user") or ("" if reader.build else "root:root")
            if not user:
                *_, user = re.findall("^USER (.+)$", form.stack.dockerfile(reader), re.MULTILINE)
            assert secret.owner == user


@each
def test_networks_are_a_stacks_own_or_the_proxys(form: Form):
    """Other people's networks are joined, never created or removed."""
    for name, keys in form.compose["networks"].items():
        network = {"proxy": "proxy", "guarded": "proxy-guarded"}.get(name)
        external = {} if form.stack.model.name == "proxy" else {"external": True}
        if network:
            assert keys == {"name": network, **external}
        else:
            assert not {"name", "external"} & (keys or {}).keys(), name


def test_what_needs_no_network_has_none():
    """Redis and the model server reach nothing, and neither do images that are only built."""
    for form in FORMS:
        if form.stack.model.name == "knowledge-center":
            networks = form.compose["networks"]
            assert networks.pop("worker-network") == {"internal": True}
            masquerade = "com.docker.network.bridge.enable_ip_masquerade"
            assert networks == {"loopback": {"driver_opts": {masquerade: "false"}}}
        for name, keys in form.compose["services"].items():
            assert ("profiles" in keys) is (name in ("base", "app"))
            if name in ("base", "app"):
                assert keys["network_mode"] == "none"


def test_traefik_takes_what_a_run_wrote_and_shows_nothing_of_itself():
    """With Docker's socket it would also read other people's labels."""
    for form in FORMS:
        if form.stack.model.name != "proxy":
            continue
        (traefik,) = form.running.values()
        flags = dict(flag.removeprefix("--").split("=", 1) for flag in traefik["command"])
        providers = {name for name in flags if name.startswith("providers")}
        assert providers == {"providers.file.directory"}
        assert traefik["volumes"] == ["./routes:/etc/traefik/routes:ro"]
        assert not [name for name in flags if name.startswith(("api", "entrypoints.traefik"))]
        entrypoints = {name.split(".")[1] for name in flags if name.startswith("entrypoints.")}
        assert entrypoints == {"web"}
        assert traefik["read_only"] is True
        assert (traefik["pids_limit"], traefik["mem_limit"]) == (512, "512mb")


def test_the_model_servers_containers_change_nothing_of_themselves():
    """Redis has all it needs in its volume, which has a name and therefore outlives the
    container."""
    for form in FORMS:
        if form.stack.model.name == "knowledge-center":
            redis = form.running["redis"]
            assert redis["read_only"] is True
            assert redis["tmpfs"] == ["/tmp:uid=999,gid=1000,mode=0700"]
            assert "redis-data:/data" in redis["volumes"]
            assert redis["secrets"] == ["redis_password"]
            assert "environment" not in redis
            if "vllm" in form.name:
                environment = form.running["llm-server"]["environment"]
                assert environment["HF_HUB_OFFLINE"] == "1"
                assert environment["VLLM_NO_USAGE_STATS"] == "1"


def test_redis_keeps_every_write():
    """In its volume, on disk within a second."""
    text = render("knowledge-center").files["redis/redis.conf"].decode()
    lines = [line.split(None, 1) for line in text.splitlines() if line and line[0] != "#"]
    assert dict(lines) == {  # type: ignore[arg-type]
        "dir": "/data",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "repl-diskless-sync-delay": "0",
    }


def test_programs_with_a_mind_of_their_own_are_told():
    """They must not download, run or report anything by themselves."""
    told = {
        "comfy": {"SECURITY_LEVEL": "normal", "USE_PIPUPGRADE": "false"},
        "openwebui": {
            "ENABLE_OPENAI_API": "false",
            "WEBUI_SECRET_KEY_FILE": "/app/backend/data/.webui_secret_key",
        },
        "invokeai": {"INVOKEAI_ALLOW_UNKNOWN_MODELS": "false", "CONTAINER_UID": 2000},
    }
    seen = set()
    for form in FORMS:
        for name, keys in form.running.items():
            if name in told:
                seen.add(name)
                assert told[name].items() <= keys["environment"].items(), name
                assert "WEBUI_SECRET_KEY" not in keys["environment"]
    assert seen == told.keys()


def test_what_people_have_written_is_for_root_alone():
    """Open WebUI's accounts and chats."""
    (webui,) = [one for one in render("prometheus").model.running if one.name == "openwebui"]
    assert list(webui.owners.values()) == ["root:root 700"]


# Images built here


def _dockerfiles() -> dict[str, str]:
    """Return form and service -> its Dockerfile, each command on one line."""
    return {
        f"{form.name} {service.name}": re.sub(
            r"\\\n\s*(#.*\n\s*)*", " ", form.stack.dockerfile(service)
        )
        for form in FORMS
        for service in form.stack.model.built
    }


DOCKERFILES = cache(_dockerfiles)


def test_every_image_that_is_built_runs_as_the_services_user():
    """imagen's do not write where others read. The base itself is never run."""
    found = DOCKERFILES()
    assert {name.split()[1] for name in found} == {
        *("base", "fooocus", "forge", "fluxgym", "ai-toolkit", "llm-server", "app", "triton"),
        "chat-to-3d-allinone",
    }
    others = {" base": [], " app": ["10001:10001"], " triton": ["1000:1000"]}
    for name, text in found.items():
        last = re.split(r"^FROM ", text, flags=re.MULTILINE)[-1]
        users = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
        assert users[-1:] == others.get(name[name.index(" ") :], ["2000:2000"]), name


def test_certificates_of_the_network_are_in_no_layer():
    """Builds get them as a secret."""
    for name, text in DOCKERFILES().items():
        mounts = re.findall(r"--mount=(\S+)", text)
        given = [mount for mount in mounts if "id=ca," in mount or "/etc/ssl" in mount]
        assert given, name
        for mount in given:
            assert mount.startswith("type=secret,id=ca,"), name
        assert not re.search(r"^(COPY|ADD) .*(/etc/ssl|ca-certificates)", text, re.MULTILINE), name


def test_builds_install_what_locks_name_and_nothing_else():
    """With a hash if the pin has one; no recommended packages; Node's packages from its lock."""
    installs = 0
    for name, text in DOCKERFILES().items():
        for command in re.findall(r"(?:uv )?pip install .*?(?=&&|\n|$)", text):
            installs += 1
            # In another home, uv's cache would be a part of the image, as large as the packages.
            before = text[: text.index(command)]
            assert " HOME=" not in before or "UV_CACHE_DIR=/root/.cache/uv" in before, name
            if "requirements-extra.txt" in command:
                # What a user adds; the locked versions stay, and by default there is nothing more.
                assert "--constraint /tmp/requirements.lock" in command
                continue
            assert "--no-deps" in command, (name, command)
            if "--no-binary" in command:
                assert "--require-hashes" in command
                assert re.search(r"llama-cpp-python==\S+ --hash=sha256:[0-9a-f]{64}\"", text), name
            else:
                assert "--requirements /tmp/requirements.lock" in command, (name, command)
        for command in re.findall(r"apt-get install .*?(?=&&|\n|$)", text):
            assert "--no-install-recommends" in command, (name, command)
        for command in re.findall(r"npm (?:ci|i|install)\b", text):
            assert command == "npm ci", name
        if name.endswith(" forge"):
            assert '"--skip-prepare-environment", "--skip-install"' in text
    assert installs > 10
