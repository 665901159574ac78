"""A stack is read from its Compose file, in every syntax that Compose supports."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from workstation.stack import (
    Check,
    Model,
    Mount,
    Secret,
    Service,
    Stack,
    StackError,
    data_key,
    is_below,
    parse,
    seconds,
)

FOLDER = "/opt/stacks/made-up"


def stack(services: dict[str, Any], **keys: Any) -> Stack:
    content = {"name": "made-up", "services": services, **keys}
    return parse(yaml.safe_dump(content, sort_keys=False), FOLDER)


def service(**keys: Any) -> Service:
    return stack({"web": {"image": "nginx:1", **keys}}).services[0]


def refusal(text: str) -> str:
    with pytest.raises(StackError) as caught:
        parse(text, FOLDER)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_the_least_service_has_no_more_than_an_image():
    """All other keys have defaults without any requirements."""
    assert service() == Service("web", "nginx:1", keys={"image": "nginx:1"})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("data:/data", Mount("volume", "data", "/data")),
        ("data:/data:ro", Mount("volume", "data", "/data", True)),
        ("/srv/a:/a", Mount("bind", "/srv/a", "/a")),
        ("/srv/a:/a:rw", Mount("bind", "/srv/a", "/a")),
        ("/srv/a:/a:z,ro", Mount("bind", "/srv/a", "/a", True)),
        ("/srv/a:/a:rslave", Mount("bind", "/srv/a", "/a")),
        ("./web/conf:/conf:ro", Mount("bind", f"{FOLDER}/web/conf", "/conf", True)),
        (".:/all", Mount("bind", FOLDER, "/all")),
        ("./:/all", Mount("bind", FOLDER, "/all")),
        ({"type": "volume", "source": "data", "target": "/data"}, Mount("volume", "data", "/data")),
        ({"type": "tmpfs", "target": "/tmp"}, Mount("tmpfs", "", "/tmp")),
        (
            {"type": "bind", "source": "/vol/m", "target": "/m", "read_only": True},
            Mount("bind", "/vol/m", "/m", True),
        ),
        (
            {
                "type": "bind",
                "source": "./web",
                "target": "/w",
                "bind": {"create_host_path": False},
            },
            Mount("bind", f"{FOLDER}/web", "/w"),
        ),
    ],
)
def test_mounts_in_short_and_long_form(entry: Any, expected: Mount):
    """A path is a bind, a word is a volume; relative paths start at the stack's folder."""
    assert service(volumes=[entry]).mounts == (expected,)


def test_a_volume_without_a_name_is_no_folder_of_the_host():
    """`- /data` is an anonymous volume, which only has a target."""
    assert service(volumes=["/data"]).mounts == (Mount("volume", "", "/data"),)


def test_a_hidden_folder_keeps_its_dot():
    """`.config` does not mean `./config`."""
    assert service(volumes=[".config:/c"]).mounts[0].source == f"{FOLDER}/.config"


def test_a_folder_above_the_stacks_is_found_there():
    """Compose resolves `..`."""
    assert service(volumes=["../shared:/s"]).mounts[0].source == "/opt/stacks/shared"


@pytest.mark.parametrize("build", ["./web", {"context": "./web"}, {"context": "./web", "args": {}}])
def test_a_build_context_in_short_and_long_form(build: Any):
    """It is absolute, so that a build can be started from any folder."""
    assert service(build=build).build == f"{FOLDER}/web"


@pytest.mark.parametrize("build", ["web", {"context": "web"}])
def test_a_build_context_needs_no_dot(build: Any):
    """For Compose, `build: web` and `build: ./web` are the same folder."""
    assert service(build=build).build == f"{FOLDER}/web"


def test_a_build_without_a_context_is_the_stacks_folder():
    """Compose's default is the folder of its file."""
    assert service(build={"args": {"A": "1"}}).build == FOLDER


def test_a_service_with_the_profile_build_is_built_but_does_not_run():
    """`up` leaves it out, so nothing waits for its container."""
    found = stack(
        {
            "web": {"image": "a:1", "build": "./web", "volumes": ["/srv/a:/a"]},
            "base": {
                "image": "b:1",
                "build": "./base",
                "profiles": ["build"],
                "volumes": ["/b:/b"],
            },
            "db": {"image": "c:1"},
        }
    )
    assert [service.name for service in found.running] == ["web", "db"]
    assert [service.name for service in found.built] == ["web", "base"]
    assert [mount.source for mount in found.binds()] == ["/srv/a"]


@pytest.mark.parametrize(
    "labels",
    [
        {"traefik.enable": "true", "traefik.http.routers.p-web.rule": "Host(`web.example`)"},
        {"traefik.enable": True, "traefik.http.routers.p-web.rule": "Host(`web.example`)"},
        ["traefik.enable=true", "traefik.http.routers.p-web.rule=Host(`web.example`)"],
        ["traefik.enable=true", "a", "b=c=d", "traefik.http.routers.x.rule=Host(`web.example`)"],
        {
            "traefik.enable": "true",
            "traefik.http.routers.p-web.entrypoints": "Host(`not.me`)",
            "traefik.http.routers.p-web.rule": "(Host(`web.example`) || Host(`www.example`))"
            " && PathPrefix(`/`)",
        },
    ],
)
def test_the_route_is_the_first_host_of_a_router(labels: Any):
    """Labels may be a mapping or a list."""
    assert service(labels=labels).host == "web.example"


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"traefik.enable": "false", "traefik.http.routers.p-web.rule": "Host(`web.example`)"},
        {"traefik.enable": "true", "traefik.http.routers.p-web.rule": "PathPrefix(`/x`)"},
        {"traefik.enable": "true", "traefik.http.routers.p-web.rule": "!Host(`web.example`)"},
        {"traefik.enable": "true", "traefik.tcp.routers.p-web.rule": "HostSNI(`web.example`)"},
        ["traefik.enable=true"],
    ],
)
def test_what_the_proxy_does_not_serve_has_no_route(labels: Any):
    """Not enabled, no host rule, or not HTTP."""
    assert service(labels=labels).host == ""


@pytest.mark.parametrize(
    "keys",
    [
        {
            "deploy": {
                "resources": {
                    "reservations": {
                        "devices": [
                            {
                                "driver": "cdi",
                                "device_ids": ["nvidia.com/gpu=all"],
                                "capabilities": ["gpu"],
                            }
                        ]
                    }
                }
            }
        },
        {"devices": ["nvidia.com/gpu=0"]},
        {"gpus": "all"},
    ],
)
def test_every_way_to_ask_for_a_gpu(keys: dict[str, Any]):
    """As a reservation, as a CDI device, and with the short `gpus`."""
    assert service(**keys).gpu


@pytest.mark.parametrize(
    "keys",
    [
        {"deploy": None},
        {"deploy": {"resources": {"limits": {"memory": "1g"}}}},
        {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["tpu"]}]}}}},
        {"devices": ["/dev/kvm:/dev/kvm"]},
        {"devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}]},
    ],
)
def test_other_devices_and_limits_are_no_gpu(keys: dict[str, Any]):
    """The GPU check would fail in such a container."""
    assert not service(**keys).gpu


def test_what_compose_cannot_say_stands_in_an_extension():
    """Probe, websocket and owners."""
    found = service(
        **{"x-workstation": {"probe": "/api", "websocket": "/ws", "owners": {"/srv/a": "5:6 2775"}}}
    )
    assert (found.probe, found.websocket, found.owners) == ("/api", "/ws", {"/srv/a": "5:6 2775"})


def test_a_person_starts_a_service_with_any_other_profile():
    """A run neither builds nor pulls its image, except for a service that runs with the same
    one."""
    found = stack(
        {
            "web": {"image": "a:1"},
            "dev": {"image": "d:1", "build": "./dev", "profiles": ["dev"]},
            "tool": {"image": "t:1", "profiles": ["dev", "tools"]},
            "maker": {"image": "a:1", "build": "./web", "profiles": ["dev"]},
            "base": {"image": "b:1", "build": "./base", "profiles": ["build", "dev"]},
        }
    )
    assert [one.name for one in found.running] == ["web"]
    assert [one.name for one in found.wanted] == ["web", "maker", "base"]
    assert [one.name for one in found.built] == ["maker", "base"]


def test_secrets_of_services_that_a_person_starts_need_not_be_set():
    """Those that a running service reads too must be, and those that nothing reads."""
    names = ("shared", "alone", "unread")
    content = {
        "name": "s",
        "services": {
            "web": {"image": "a:1", "secrets": ["shared"]},
            "dev": {"image": "a:1", "secrets": ["shared", "alone"], "profiles": ["dev"]},
        },
        "secrets": {name: {"file": f"./secrets/{name}"} for name in names},
    }
    found = parse(yaml.safe_dump(content), FOLDER)
    assert [one.setting for one in found.required_secrets] == ["shared", "unread"]


def test_a_service_says_how_it_checks_itself_and_what_it_takes_of_the_card():
    """Numbers may be text."""
    own = {"check": {"command": ["a", "b c"], "timeout": "60"}, "gpu_memory": "8.5"}
    found = service(**{"x-workstation": own})
    assert found.check == Check(("a", "b c"), 60)
    assert found.gpu_memory == 8.5
    assert service().check is None


def test_a_service_registers_models_from_one_of_its_mounts():
    """Another path is a mistake; a service that is only built registers nothing."""
    keys = {
        "image": "i:1",
        "volumes": ["/vol/models:/models:ro"],
        "x-workstation": {"registers": "/models"},
    }
    found = stack({"web": keys, "base": {**keys, "profiles": ["build"]}, "db": {"image": "i:1"}})
    assert [(one.name, one.registers) for one in found.registering] == [("web", "/models")]
    with pytest.raises(StackError, match=r"Service web in .* registers /model, but mounts nothing"):
        service(**{**keys, "x-workstation": {"registers": "/model"}})


def test_what_a_service_says_of_its_start_log_and_data():
    """Acceptance, the plan and tasks/losses.py use it."""
    own = {
        "first_start": "10 minutes",
        "log": {"says": "Ready", "troubles": {"refused": "let it in"}},
        "holds": {"/srv/a": "drafts"},
    }
    found = service(**{"x-workstation": own, "healthcheck": {"start_period": "1h30m"}})
    assert (found.first_start, found.says) == ("10 minutes", "Ready")
    assert (found.troubles, found.holds) == ({"refused": "let it in"}, {"/srv/a": "drafts"})
    assert found.start_period == 5400
    assert service().start_period == 0


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("1h30m", 5400),
        ("45m", 2700),
        ("90s", 90),
        ("1m30s", 90),
        ("1500ms", 2),
        (0, 0),
        ("1.5h", 5400),
    ],
)
def test_durations_are_read_as_compose_writes_them(duration: str | int, expected: int):
    """In whole seconds."""
    assert seconds(duration) == expected


def test_disks_are_said_of_the_whole_file():
    """A stack that lists none needs none."""
    wanted = {"disks": ["/mnt/a", "/mnt/b"]}
    assert stack({"web": {"image": "a:1"}}, **{"x-workstation": wanted}).disks == tuple(
        wanted["disks"]
    )
    assert stack({"web": {"image": "a:1"}}).disks == ()


def test_what_the_machine_alone_holds_is_what_may_be_written():
    """Folders and volumes of running services, even those without a description."""
    volumes = ["/srv/a:/a", "/srv/b:/b:ro", "data:/c", "/c", "/var/run/docker.sock:/s"]
    found = stack(
        {
            "web": {
                "image": "a:1",
                "volumes": volumes,
                "x-workstation": {"holds": {"/srv/a": "drafts"}},
            },
            "base": {"image": "b:1", "profiles": ["build"], "volumes": ["never:/n"]},
        }
    )
    assert found.losses() == {"/srv/a": "drafts", "data": ""}


def test_ports_are_text_in_every_form():
    """YAML reads 80 as a number; the long form is a mapping."""
    found = service(ports=["8080:80", 80, {"target": 80, "published": "8080"}])
    assert found.ports[:2] == ("8080:80", "80")


def test_yaml_anchors_and_merge_keys_are_resolved():
    """Like Compose itself does."""
    text = (
        "name: a\n"
        "x-s: &s\n"
        "  volumes: ['d:/d']\n"
        "services:\n"
        "  one: {<<: *s, image: 'i:1'}\n"
        "  two: {<<: *s, image: 'i:2', volumes: []}\n"
    )
    one, two = parse(text, FOLDER).services
    assert (one.mounts, two.mounts) == ((Mount("volume", "d", "/d"),), ())


def test_external_networks_go_by_their_real_name():
    """A network that Compose itself creates is not waited for."""
    found = stack(
        {"web": {"image": "a:1"}},
        networks={
            "default": None,
            "own": {"name": "own"},
            "proxy": {"name": "traefik_net", "external": True},
            "lan": {"external": True},
        },
    )
    assert found.external_networks == ("traefik_net", "lan")


@pytest.mark.parametrize(
    ("path", "parent", "expected"),
    [
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b", "/a/", True),
        ("/ab", "/a", False),
        ("/", "/a", False),
        ("/a", "/", True),
    ],
)
def test_below_is_a_matter_of_whole_names(path: str, parent: str, expected: bool):
    """A path is below itself, but not below one that only begins the same."""
    assert is_below(path, parent) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("services: {a: [", f"{FOLDER}/compose.yaml line 2 is not valid YAML"),
        ("", "has no services"),
        ("[]", "has no services"),
        ("name: a\nservices: []", "has no services"),
        ("services: {a: {image: x}}", "has no `name:`"),
        ("name: 5\nservices: {a: {image: x}}", "has no `name:`"),
        ("name: a\nservices: {web: {build: .}}", "Service web in"),
        ("name: a\nservices: {web: }", "line 2: services.web is None: expected a mapping"),
        ("name: a\nservices: {web: {}}", "has no `image:`"),
        ("name: a\nservices: {web: text}", "line 2: services.web is 'text'"),
        (
            "name: a\nservices: {web: {image: i, volumes: [{type: bind}]}}",
            "services.web.volumes[0] has no target: add it",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_one_sentence(text: str, expected: str):
    """It names the file and the missing part."""
    assert expected in refusal(text)


def test_secrets_are_files_of_the_stacks_own_folder():
    """Named after the setting that contains them, with the number of their reader."""
    secrets = {
        "a": {"file": "./secrets/a", "x-workstation": {"owner": "999:1000"}},
        "b": {"file": f"{FOLDER}/secrets/b"},
    }
    services = {"web": {"image": "x:1", "secrets": ["a", {"source": "b", "target": "c"}]}}
    found = stack(services, secrets=secrets)
    assert found.secrets == (
        Secret("a", f"{FOLDER}/secrets/a", "999:1000"),
        Secret("b", f"{FOLDER}/secrets/b", "root:root"),
    )
    assert found.services[0].secrets == ("a", "b")


@pytest.mark.parametrize("secret", [{}, {"environment": "A"}, {"file": "./a"}])
def test_a_secret_from_elsewhere_is_refused(secret: Any):
    """No run would write it."""
    content = {"name": "s", "services": {"w": {"image": "x"}}, "secrets": {"a": secret}}
    assert "no `file: ./secrets/a`" in refusal(yaml.safe_dump(content))


def test_a_model_is_found_on_the_host_by_its_mount():
    """A model that no mount of the host contains is rejected."""
    model = {"path": "/models/a/b.gguf", "format": "gguf", "setting": "path"}
    found = service(volumes=["/vol/m:/models:ro"], **{"x-workstation": {"models": [model]}})
    assert found.models == (Model("/vol/m/a/b.gguf", "/models/a/b.gguf", "gguf", "path"),)
    for volumes in (["models:/models"], ["/vol/m:/model"]):
        keys = {"image": "x", "volumes": volumes, "x-workstation": {"models": [model]}}
        text = yaml.safe_dump({"name": "s", "services": {"w": keys}})
        assert "loads /models/a/b.gguf, which is not in any folder" in refusal(text)


def test_a_model_of_an_unknown_format_is_refused():
    """It could not be checked."""
    model = {"path": "/m/a", "format": "onnx", "setting": "path"}
    keys = {"image": "x", "volumes": ["/vol:/m"], "x-workstation": {"models": [model]}}
    text = yaml.safe_dump({"name": "s", "services": {"w": keys}})
    expected = "models[0].format is 'onnx': expected gguf, safetensors, pytorch or diffusers"
    assert expected in refusal(text)


def test_the_key_of_a_stacks_data_is_a_name_in_python():
    """Files and groups may contain a dash."""
    assert (data_key("knowledge-center"), data_key("dhoch3")) == ("knowledge_center", "dhoch3")


def test_a_stack_uses_a_folder_by_its_mounts():
    """The folder itself, or something below it; a name that only begins the same is another
    folder."""
    found = stack({"web": {"image": "x:1", "volumes": ["/mnt/a/b:/b"]}})
    assert found.uses("/mnt/a")
    assert found.uses("/mnt/a/b")
    assert not found.uses("/mnt/a/b/c")
    assert not found.uses("/mnt/a/bb")
