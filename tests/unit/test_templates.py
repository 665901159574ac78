"""The rendered stacks: rules that every service follows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from workstation import environment, pins, settings
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack
from workstation.settings import Settings

ROOT = Path(__file__).parents[2]
STACKS = sorted(path.parent.name for path in ROOT.glob("templates/stacks/*/compose.yaml.j2"))
MIRROR = Mirror(
    http="http://192.0.2.5",
    registry="192.0.2.5",
    insecure=True,
    trusted=True,
    pypi="http://192.0.2.5/pypi/simple",
    npm="http://192.0.2.5/npm",
)
SOCKET = "/var/run/docker.sock"


def group_data(stack: str) -> dict[str, Any]:
    path = ROOT / "group_data" / f"{stack}.py"
    return runpy.run_path(str(path)) if path.exists() else {}


def data(stack: str) -> dict[str, Any]:
    """The stack's defaults, and the values that group_data/ sets."""
    return environment.data_of(ROOT, [stack])[stack]


def configured(stack: str, **changes: object) -> Settings:
    """The settings of a host that runs this stack."""
    own = {key: value for key, value in group_data(stack).items() if key in Settings.model_fields}
    return settings.load({**settings.defaults(ROOT / "group_data/all.py"), **own, **changes})


def render(
    stack: str = "dhoch3",
    mirror: Mirror | None = None,
    gpu: bool = True,
    changed: dict[str, Any] | None = None,
    **changes: object,
) -> RenderedStack:
    """Render a stack; ``changed``: keys of its data, ``changes``: settings."""
    return StackRenderer(
        name=stack,
        settings=configured(stack, **changes),
        pins=pins.load(ROOT / "pins.yml", mirror.pins if mirror else None),
        mirror=mirror or Mirror(),
        data={**data(stack), **(changed or {})},
        gpu=gpu,
    ).render()


def services(stack: str = "dhoch3", **how: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(render(stack, **how).compose)["services"]
    return found


def running(stack: str, **how: Any) -> dict[str, dict[str, Any]]:
    return {name: keys for name, keys in services(stack, **how).items() if "profiles" not in keys}


def mounts(keys: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target, read-only."""
    found = []
    for entry in keys.get("volumes", []):
        if isinstance(entry, dict):
            found.append((entry["source"], entry["target"], entry.get("read_only", False)))
        else:
            source, target, *options = entry.split(":")
            found.append((source, target, options == ["ro"]))
    return found


RUNNING = [(stack, name) for stack in STACKS for name in running(stack)]
ROUTED = [
    (stack, name)
    for stack, name in RUNNING
    if "labels" in running(stack)[name] and "traefik.enable" in running(stack)[name]["labels"]
]
LOOPBACK = [one for one in RUNNING if one not in ROUTED and one[0] != "proxy"]
# A user of its image switches to another one through sudo.
SUDO = ("comfy",)


def test_the_required_services_are_there():
    assert list(running("dhoch3")) == [
        *("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit", "dockge")
    ]


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("mirror", [None, MIRROR], ids=["upstream", "mirror"])
@pytest.mark.parametrize("stack", STACKS)
def test_every_combination_renders_and_is_the_project_of_its_folder(
    stack: str, mirror: Mirror | None, gpu: bool
):
    compose = render(stack, mirror, gpu).compose
    assert yaml.safe_load(compose)["name"] == stack
    assert "ai-workstation" in compose.splitlines()[0], "taken for somebody else's, and kept"


@pytest.mark.parametrize(("stack", "name"), ROUTED)
def test_no_service_behind_the_proxy_publishes_a_port(stack: str, name: str):
    """A published port bypasses the firewall and the proxy."""
    keys = running(stack)[name]
    assert "ports" not in keys
    assert keys.get("network_mode") is None
    assert {"proxy", "guarded"} & {*keys["networks"]}


@pytest.mark.parametrize(("stack", "name"), LOOPBACK)
def test_a_service_without_a_route_is_published_on_loopback_alone(stack: str, name: str):
    """Neither the proxy nor the LAN leads to it then: people elsewhere use SSH."""
    keys = running(stack)[name]
    own = keys.get("x-workstation", {})
    ports = keys.get("ports", [])
    if own.get("probe", "/"):
        # A gate publishes it, or it does so itself.
        assert bool(ports) is not bool(own.get("loopback"))
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert "proxy" not in keys.get("networks", {})
    assert "traefik.enable" not in keys.get("labels", {})


@pytest.mark.parametrize(("stack", "name"), ROUTED)
def test_every_service_has_a_route_of_its_own(stack: str, name: str):
    labels = running(stack)[name]["labels"]
    # The document gives the service another name than its page should have.
    name = {"chat-to-3d-allinone": "chat-to-3d"}.get(name, name)
    router = f"traefik.http.routers.{stack}-{name}"
    assert labels["traefik.enable"] == "true"
    assert labels[f"{router}.rule"] == f"Host(`{name}.design-hoch-drei.de`)"
    assert labels[f"{router}.entrypoints"] == "web"
    assert f"{router}.tls" not in labels
    assert re.fullmatch(
        r"\d+", labels[f"traefik.http.services.{stack}-{name}.loadbalancer.server.port"]
    )


def test_the_names_of_an_existing_proxy_reach_the_labels():
    labels = services(
        proxy="existing",
        proxy_network="base",
        proxy_entrypoint="websecure",
        proxy_certresolver="letsencrypt",
        proxy_middlewares=["default@file", "auth@docker"],
    )["forge"]["labels"]
    router = "traefik.http.routers.dhoch3-forge"
    assert labels["traefik.docker.network"] == "base"
    assert labels[f"{router}.entrypoints"] == "websecure"
    assert labels[f"{router}.tls"] == "true"
    assert labels[f"{router}.tls.certresolver"] == "letsencrypt"
    assert labels[f"{router}.middlewares"] == "default@file,auth@docker"


@pytest.mark.parametrize(("stack", "name"), RUNNING)
def test_a_service_restarts_and_is_checked_and_gains_no_privileges(stack: str, name: str):
    keys = running(stack)[name]
    assert keys["restart"] == "unless-stopped"
    # Jaeger's image has no program that could ask it.
    assert name == "jaeger" or keys["healthcheck"]["start_interval"]
    assert name in SUDO or keys["security_opt"] == ["no-new-privileges=true"]
    assert "privileged" not in keys
    assert keys["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(("stack", "name"), RUNNING)
def test_images_have_a_tag_that_stays(stack: str, name: str):
    keys = running(stack)[name]
    image, _, tag = keys["image"].partition("@")[0].rpartition(":")
    assert image
    assert tag not in ("latest", "main")
    if "build" in keys:
        # Otherwise `docker compose pull` would ask Docker Hub for an unrelated image of this name.
        assert keys["pull_policy"] == "never"
        assert image == f"{stack}/{keys['build'].removeprefix('./')}"


@pytest.mark.parametrize(("stack", "name"), RUNNING)
def test_the_docker_socket_goes_to_dockge_only(stack: str, name: str):
    """Not to the proxy, which parses everybody's HTTP. And no other service of its stack can reach
    the one that is root by it."""
    keys = running(stack)[name]
    sockets = [mount for mount in mounts(keys) if mount[0] == SOCKET]
    assert sockets == ([(SOCKET, SOCKET, False)] if name == "dockge" else [])
    guarded = "guarded" in keys.get("networks", ())
    assert guarded is (name in ("dockge", "traefik"))
    assert name != "dockge" or list(keys["networks"]) == ["guarded"]


@pytest.mark.parametrize(("stack", "name"), RUNNING)
def test_models_are_read_only_and_the_share_holds_one_folder_a_service(stack: str, name: str):
    values = configured(stack)
    for source, target, read_only in mounts(running(stack)[name]):
        if source.startswith(values.models_path):
            assert read_only
            # Beside Triton's own folders in /models.
            assert target == ("/models/store" if name == "triton" else "/models")
        if source.startswith(values.smb_mount):
            assert source.count("/") == values.smb_mount.count("/") + 1


def test_outputs_go_to_the_folders_that_the_requirement_names():
    names = ("AIToolkit", "ComfyUI", "FluxGym", "Fooocus", "Forge", "InvokeAI")
    found = {place.path for place in render().places if place.home == "share"}
    assert found == {f"/mnt/ki_Daten/{name}" for name in names}


def test_a_missing_folder_on_the_share_is_not_made_by_docker():
    """It would be created on the disk, below a share that is not mounted. Short syntax would do
    that."""
    values, seen = configured("dhoch3"), set()
    for name, keys in running("dhoch3").items():
        for entry in keys["volumes"]:
            text = str(entry)
            if values.smb_mount in text or values.models_path in text:
                assert isinstance(entry, dict), (name, entry)
                assert entry["bind"] == {"create_host_path": False}, (name, entry)
                seen.add(entry["source"].removeprefix(f"{values.smb_mount}/"))
    assert {"AIToolkit", "ComfyUI", "FluxGym", "Fooocus", "Forge", "InvokeAI"} <= seen


def test_every_service_but_dockge_gets_the_gpu_if_there_is_one():
    for gpu in (True, False):
        model = render(gpu=gpu).model
        assert [service.name for service in model.running if service.gpu] == (
            [service.name for service in model.running if service.name != "dockge"] if gpu else []
        )


def test_without_a_gpu_the_programs_are_told():
    found = services(gpu=False)
    assert "--cpu" in found["comfyui"]["environment"]["CLI_ARGS"]
    assert "--always-cpu" in found["fooocus"]["command"]
    assert "--always-cpu" in found["forge"]["command"]


def test_volumes_that_are_used_are_declared():
    compose = yaml.safe_load(render().compose)
    used = {
        source
        for keys in compose["services"].values()
        for source, _, _ in mounts(keys)
        if not source.startswith(("/", "."))
    }
    assert used == set(compose["volumes"])


def test_comfyui_knows_every_folder_of_the_model_store():
    files = render(models_folders=["checkpoints", "my_own"]).files
    paths = yaml.safe_load(files["comfyui/extra_model_paths.yaml"])["workstation"]
    assert paths == {"base_path": "/models", "checkpoints": "checkpoints", "my_own": "my_own"}


def test_a_changed_file_of_comfyui_changes_its_labels():
    labels = [
        services(models_folders=folders)["comfyui"]["labels"]
        for folders in (["checkpoints"], ["checkpoints", "my_own"])
    ]
    assert labels[0] != labels[1]


def dockerfiles(**how: Any) -> dict[str, str]:
    return {
        name: content.decode()
        for name, content in render(**how).files.items()
        if name.endswith("/Dockerfile")
    }


def test_images_are_built_from_pinned_sources_and_locks():
    assert len(dockerfiles()) == 5
    for name, text in dockerfiles().items():
        assert re.search(r"^FROM \S+:\S+", text, re.MULTILINE), name
        assert "git clone" not in text
        assert "pip install -r" not in text
        for line in text.splitlines():
            if line.startswith("ADD "):
                assert re.search(r"https://\S+\.git#[0-9a-f]{40} ", line), line


def test_with_a_mirror_builds_ask_no_other_server():
    for name, text in dockerfiles(mirror=MIRROR).items():
        used = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        addresses = re.findall(r"https?://([^/\s|]+)", used)
        assert set(addresses) <= {"192.0.2.5", "deb.debian.org"}, name
        assert "ARG UV_DEFAULT_INDEX=http://192.0.2.5/pypi/simple" in used
        for line in used.splitlines():
            if line.startswith(("FROM ", "COPY --from=")):
                assert re.search(r"(FROM |=)(192\.0\.2\.5/|dhoch3/base:|system|ui )", line), line


def test_no_lock_has_what_fails_on_blackwell():
    locks = {name: text for name, text in render().files.items() if name.endswith(".lock")}
    assert len(locks) == 5
    for name, content in locks.items():
        assert b"==" in content, name
        assert b"\nxformers" not in content, name


def locked(name: str) -> dict[str, str]:
    lines = render().files[f"{name}/requirements.lock"].decode().splitlines()
    pinned = [line.removesuffix(" \\") for line in lines if "==" in line and line[0] != "#"]
    return dict(line.split("==") for line in pinned)


@pytest.mark.parametrize("name", ["fooocus", "forge", "fluxgym"])
def test_the_heavy_packages_are_those_of_the_base(name: str):
    """Otherwise each image would contain its own PyTorch."""
    base = locked("base")
    heavy = {
        package: version
        for package, version in locked(name).items()
        if package in ("torch", "torchvision", "torchaudio", "triton")
        or package.startswith("nvidia-")
    }
    assert heavy["torch"] == base["torch"]
    assert heavy.items() <= base.items()


def test_a_change_of_the_base_changes_every_image_built_on_it():
    images = [
        {name: keys["image"] for name, keys in services(service_uid=uid).items() if "build" in keys}
        for uid in (2000, 2001)
    ]
    assert not set(images[0].values()) & set(images[1].values())


def test_the_own_proxy_makes_the_network_that_the_stacks_join():
    own = yaml.safe_load(render("proxy", proxy_network="edge").compose)
    stack = yaml.safe_load(render(proxy_network="edge").compose)
    for name, network in (("proxy", "edge"), ("guarded", "edge-guarded")):
        assert own["networks"][name] == {"name": network}
        assert stack["networks"][name] == {"name": network, "external": True}


def test_the_own_proxy_publishes_its_one_port_and_shows_no_dashboard():
    traefik = running("proxy")["traefik"]
    assert traefik["ports"] == ["80:80"]
    assert not [flag for flag in traefik["command"] if "api" in flag or "8080" in flag]
    assert traefik["read_only"] is True
