"""The plan of a stack: from hashes and labels to the actions of `up`, and their reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workstation.compose.actions import (
    Action,
    Container,
    ProjectState,
    actions,
    retired,
    strangers,
)
from workstation.stack import Secret, Service, Stack

WEB = Service("web", "docker.io/library/nginx:1")
APP = Service("app", "s/app:1-aaa", build="/opt/stacks/s/app")
BASE = Service("base", "s/base:1-bbb", build="/opt/stacks/s/base", profiles=("build",))
STACK = Stack("s", (WEB, APP, BASE), ())
HASHES = {"web": "1" * 64, "app": "2" * 64}
IMAGES = {"nginx:1": "sha256:web", "s/app:1-aaa": "sha256:app", "s/base:1-bbb": "sha256:base"}


def container(service: str, **changes: Any) -> Container:
    values = {
        "id": f"id-{service}",
        "service": service,
        "image": f"sha256:{service}",
        "hash": HASHES.get(service, "0" * 64),
        "state": "running",
        **changes,
    }
    return Container(**values)


def state(*containers: Container, **changes: Any) -> ProjectState:
    values: dict[str, Any] = {
        "docker": True,
        "hashes": HASHES,
        "images": IMAGES,
        "containers": containers or (container("web"), container("app")),
        **changes,
    }
    return ProjectState(**values)


def plan(found: ProjectState, stack: Stack = STACK) -> list[str]:
    return [str(action) for action in actions(stack, found)]


def test_on_a_bare_host_everything_is_fetched_built_and_created():
    """Images come first; services that are only built get no container."""
    assert plan(ProjectState()) == [
        "pull docker.io/library/nginx:1",
        "build s/app:1-aaa",
        "build s/base:1-bbb",
        "create web",
        "create app",
    ]


def test_a_stack_that_runs_as_it_should_needs_nothing():
    """For example in a second run."""
    assert plan(state()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hash": "f" * 64}, "recreate web (configuration)"),
        ({"hash": ""}, "recreate web (configuration)"),
        ({"image": "sha256:older"}, "recreate web (image)"),
        ({"image": "sha256:older", "hash": "f" * 64}, "recreate web (image)"),
        ({"state": "exited"}, "start web (exited)"),
        ({"state": "created"}, "start web (created)"),
        ({"state": "paused"}, "start web (paused)"),
        ({"state": "dead"}, "start web (dead)"),
        ({"state": "exited", "hash": "f" * 64}, "recreate web (configuration)"),
    ],
)
def test_a_container_that_differs_is_named_with_the_cause(change: dict[str, str], expected: str):
    """The other service is not touched."""
    assert plan(state(container("web", **change), container("app"))) == [expected]


@pytest.mark.parametrize("change", [{"state": "restarting"}, {"health": "unhealthy"}])
def test_a_container_that_struggles_is_not_restarted(change: dict[str, str]):
    """We do not plan for its health or its restarts."""
    assert plan(state(container("web", **change), container("app"))) == []


def test_a_service_that_left_the_file_is_removed():
    """This comes last."""
    assert plan(state(container("web"), container("old"), container("app"))) == [
        "remove old (no longer in the file)"
    ]


def tool(*profiles: str) -> Stack:
    """A stack with a service that has these profiles."""
    one = Service("tool", "docker.io/library/tool:1", profiles=profiles)
    return Stack("s", (WEB, APP, one), ())


RAN = "services: {web: {image: a}, tool: {image: docker.io/library/tool:1}}"
BY_HAND = "services: {web: {image: a}, tool: {image: b, profiles: [tools]}}"


@pytest.mark.parametrize(
    ("profile", "cause"),
    [
        ("tools", "it has a profile now: start it with `docker compose --profile`"),
        ("build", "it is only built now"),
    ],
)
def test_a_container_of_a_run_is_removed_when_its_service_gets_a_profile(profile: str, cause: str):
    """`up` would leave it running. The service had no profile in the file of the last successful
    run; the container makes room before others are created."""
    images = {**IMAGES, "tool:1": "sha256:tool"}
    found = state(container("app"), container("tool"), applied=RAN, images=images)
    assert plan(found, tool(profile)) == [f"remove tool ({cause})", "create web"]
    assert [one.id for one in retired(tool(profile), found)] == ["id-tool"]


@pytest.mark.parametrize("applied", [BY_HAND, "services: {web: {image: a}}", "", "a: ["])
def test_a_container_that_a_person_started_stays(applied: str):
    """The service already had its profile in the file of the last successful run, or was not in it.
    Without that file, nothing is known."""
    found = state(container("web"), container("app"), container("tool"), applied=applied)
    assert plan(found, tool("tools")) == []
    assert retired(tool("tools"), found) == []


def test_a_service_that_lost_its_profile_is_the_runs_again():
    """A container that a person started is taken over if it is up to date."""
    stack = tool()
    found = state(
        *(container(name) for name in ("web", "app", "tool")),
        hashes={**HASHES, "tool": "0" * 64},
        images={**IMAGES, "tool:1": "sha256:tool"},
        applied=BY_HAND,
    )
    assert plan(found, stack) == []
    old = replace(found, containers=(*found.containers[:2], container("tool", hash="f" * 64)))
    assert plan(old, stack)[0].startswith("recreate tool (")


def test_a_container_of_docker_compose_run_is_not_removed_for_a_profile():
    """Somebody is working in it."""
    found = state(container("web"), container("app"), container("tool", oneoff=True), applied=RAN)
    assert retired(tool("tools"), found) == []


def test_the_image_of_a_service_that_a_person_starts_is_not_fetched():
    """Neither pulled nor built, unless a service that runs has the same image."""
    dev = Service("dev", "s/dev:1-ccc", build="/opt/stacks/s/dev", profiles=("dev",))
    pulled = Service("tool", "docker.io/library/tool:1", profiles=("dev",))
    found = ProjectState(docker=True)
    assert plan(found, Stack("s", (WEB, dev, pulled), ())) == [
        "pull docker.io/library/nginx:1",
        "create web",
    ]
    same = Service("same", dev.image)
    assert plan(found, Stack("s", (same, dev), ())) == ["build s/dev:1-ccc", "create same"]


def test_an_image_that_one_service_builds_is_built_for_all_who_share_it():
    """No matter which one comes first. What changed is read from any of their containers."""
    api, builder = Service("api", APP.image), replace(APP, profiles=("build",))
    images = {name: identity for name, identity in IMAGES.items() if name != APP.image}
    found = state(container("api", inputs="Dockerfile=1"), images=images)
    for services in ((api, builder), (builder, api)):
        planned = actions(Stack("s", services, ()), found, {"app": "Dockerfile=2"})
        assert [str(action) for action in planned] == [
            "build s/app:1-aaa (changed: Dockerfile)",
            "recreate api (image)",
        ]


APPLIED = """
services:
  web:
    image: docker.io/library/nginx:1
    environment: {COLOUR: red, SIZE: "1"}
    volumes: ["data:/data"]
    x-workstation: {probe: /}
"""


def test_a_change_is_told_by_the_keys_that_differ():
    """They are compared with the file that was last applied; values are not shown, because they may
    be secret."""
    keys = {
        "image": WEB.image,
        "environment": {"COLOUR": "blue", "SIZE": "1", "NEW": "x"},
        "volumes": [],
        "x-workstation": {"probe": "/other"},
    }
    stack = Stack("s", (Service("web", WEB.image, keys=keys), APP, BASE), ())
    changed = state(container("web", hash="f" * 64), container("app"), applied=APPLIED)
    assert plan(changed, stack) == ["recreate web (environment.COLOUR, environment.NEW, volumes)"]
    both = state(
        container("web", hash="f" * 64, image="sha256:old"), container("app"), applied=APPLIED
    )
    assert plan(both, stack)[0].startswith("recreate web (image, environment.COLOUR")


@pytest.mark.parametrize("applied", ["", "a: [", "services: 5", "- 1", "services: {web: 1}"])
def test_without_a_file_to_compare_with_the_cause_is_the_configuration(applied: str):
    """The same is true of a file that cannot be read."""
    changed = state(container("web", hash="f" * 64), container("app"), applied=applied)
    assert plan(changed) == ["recreate web (configuration)"]


def test_two_containers_become_one():
    """For example after Compose's scale, or an interrupted re-creation."""
    found = state(container("web"), container("web", id="second"), container("app"))
    assert plan(found) == ["recreate web (2 containers instead of one)"]


def test_containers_of_docker_compose_run_are_not_counted():
    """They belong to somebody, whether or not they will be removed."""
    found = state(
        container("web"),
        container("app"),
        container("web", oneoff=True, state="exited"),
        container("old", oneoff=True),
    )
    assert plan(found) == []


def test_a_missing_image_is_fetched_and_its_container_recreated():
    """A container continues to exist when its image is removed by force."""
    images = {name: identity for name, identity in IMAGES.items() if name != "nginx:1"}
    assert plan(state(images=images)) == [
        "pull docker.io/library/nginx:1",
        "recreate web (image)",
    ]


def test_an_image_that_two_services_share_is_fetched_once():
    """Both containers are created."""
    stack = Stack("s", (WEB, Service("web2", WEB.image)), ())
    assert plan(ProjectState(docker=True), stack) == [
        "pull docker.io/library/nginx:1",
        "create web",
        "create web2",
    ]


def test_a_pinned_digest_is_found_under_the_name_the_engine_lists():
    """The Engine does not keep a tag that comes with a digest."""
    digest = "sha256:" + "d" * 64
    stack = Stack("s", (Service("web", f"docker.io/library/nginx:1@{digest}"),), ())
    found = state(container("web"), images={f"nginx@{digest}": "sha256:web"})
    assert plan(found, stack) == []
    other = state(container("web"), images={"nginx:1": "sha256:web"})
    assert plan(other, stack)[0].startswith("pull ")


def test_an_action_reads_as_a_line_of_the_plan():
    """The cause, if there is one, is in parentheses."""
    assert str(Action("create", "web")) == "create web"
    assert str(Action("start", "web", "exited")) == "start web (exited)"


def test_the_cause_of_a_build_is_what_changed_of_its_inputs():
    """It is read from the image of the running container."""
    found = state(
        container("web"),
        container("app", inputs="Dockerfile=00000000 start.sh=11111111"),
        images={"nginx:1": "sha256:web", "s/base:1-bbb": "sha256:base"},
    )
    inputs = {"app": "Dockerfile=00000000 start.sh=22222222"}
    assert str(actions(STACK, found, inputs)[0]) == "build s/app:1-aaa (changed: start.sh)"


def test_the_cause_of_a_pull_is_the_image_before():
    """Its tag and digest are those in the file that was last applied."""
    applied = "services: {web: {image: 'docker.io/library/nginx:0@sha256:aa'}}"
    found = state(images={"s/app:1-aaa": "sha256:app", "s/base:1-bbb": "b"}, applied=applied)
    planned = [str(action) for action in actions(STACK, found)]
    assert planned[0] == "pull docker.io/library/nginx:1 (was 0@sha256:aa)"


PASSWORD = Secret("password", "/opt/stacks/s/secrets/password")
KEEPER = Service("web", "docker.io/library/nginx:1", secrets=("password",))


@pytest.mark.parametrize(
    ("modified", "expected"),
    [(99.0, []), (100.0, []), (100.5, ["recreate web (secret password)"])],
)
def test_a_container_with_an_old_secret_is_made_anew(modified: float, expected: list[str]):
    """Compose does not look into the file; a secret that was written before the container was
    created does not count."""
    found = state(container("web", created=100.0), secrets={PASSWORD.path: modified})
    assert plan(found, Stack("s", (KEEPER,), (), (PASSWORD,))) == expected


def test_a_secret_concerns_the_services_that_read_it():
    """Others stay; a service without a container gets a new one, which does not count as
    re-created."""
    stack = Stack("s", (WEB, APP), (), (PASSWORD,))
    late = {PASSWORD.path: 200.0}
    assert plan(state(secrets=late), stack) == []
    found = state(container("app"), secrets=late)
    assert plan(found, Stack("s", (KEEPER, APP), (), (PASSWORD,))) == ["create web"]


def test_containers_of_another_project_with_the_same_name_are_told():
    """By the folder in Compose's label; a container without that label, from an older Compose,
    counts as ours."""
    theirs = [container(name, folder="/home/anna/s") for name in ("web", "db")]
    found = state(container("app", folder="/opt/stacks/s"), container("old"), *theirs)
    seen, fix = strangers("s", "/opt/stacks/s", found)
    assert seen == "Docker has another project named s: web, db of /home/anna/s"
    assert "docker compose -p s down" in fix
    assert strangers("s", "/opt/stacks/s", state())[0] == ""
