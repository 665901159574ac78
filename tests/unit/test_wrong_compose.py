"""Wrong Compose files and templates: rejected before anything is created from them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.unit import wrong_inputs
from tests.unit.compose_corpus import places
from tests.unit.wrong_inputs import misses
from tests.unit.wrong_outcomes import (
    DEFAULTS,
    NONE,
    PINS,
    STACKS,
    assert_sentence,
    dump,
    failures,
    outcome,
)
from workstation import mirror, pins, settings
from workstation.compose import rules as compose_rules
from workstation.errors import UserError
from workstation.render import StackRenderer
from workstation.stack import StackError, parse

MINIMAL = {
    "name": "made-up",
    "services": {
        "web": {
            "image": "docker.io/library/nginx:1",
            "command": "a b",
            "environment": {"A": "b"},
            "ports": ["127.0.0.1:80:80"],
            "volumes": ["/srv/a:/a", {"type": "bind", "source": "/srv/b", "target": "/b"}],
            "networks": ["default", "proxy"],
            "labels": {"traefik.enable": "true", "traefik.http.routers.x.rule": "Host(`a.b`)"},
            "healthcheck": {"test": ["CMD", "true"], "interval": "1m", "start_period": "5m"},
            "profiles": [],
            "secrets": ["redis_password"],
            "depends_on": ["db"],
            "deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}},
            "devices": ["/dev/kvm"],
            "restart": "always",
            "stop_grace_period": "30s",
            "x-workstation": {
                "probe": "/x",
                "websocket": "/ws",
                "registers": "/a",
                "models": [{"path": "/a/b", "format": "gguf", "setting": "s"}],
                "check": {"command": ["a"], "timeout": 60},
                "gpu_memory": 8.5,
                "needs_gpu": "say so",
                "owners": {"/srv/a": "1:2 750"},
                "first_start": "long",
                "log": {"says": "x", "troubles": {"a": "b"}},
                "holds": {"/srv/a": "b"},
            },
        },
        "db": {"image": "docker.io/library/redis:7", "build": "./db", "volumes": ["data:/data"]},
    },
    "networks": {"default": None, "proxy": {"name": "proxy", "external": True}},
    "volumes": {"data": None},
    "secrets": {"redis_password": {"file": "./secrets/redis_password"}},
    "x-workstation": {"disks": ["/srv"]},
}


def changed(path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(MINIMAL)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


ODD_FORMS = [
    *(None, True, False, 0, -1, 1.5, "", "x", " ", "a b", "$X", "a\nb", "é", [], {}, [None], ["x"]),
    *(
        [["x"]],
        [{}],
        {"a": None},
        {"a": "b"},
        {1: 2},
        {"a": {"b": []}},
        [1],
        [True],
        "22:22",
        70000,
    ),
    *("x" * 10**4, deep := wrong_inputs.deep(30), {"a": deep}),
]


def judged(content: Any) -> Any:
    text = content if isinstance(content, str) else dump(content)
    found = parse(text, "/opt/stacks/made-up", "compose.yaml.j2", {})
    compose_rules.check(found, "compose.yaml.j2")
    return found


def test_every_key_of_a_compose_file_in_every_wrong_form():
    """Each is rejected, or the rest of the file is read as before."""
    whole = judged(MINIMAL)

    def check(case: tuple[tuple[Any, ...], Any]) -> None:
        path, value = case
        found = outcome(lambda: judged(changed(path, value)))
        if found is not None and path[:2] != ("services", "db"):
            assert found.services[1] == whole.services[1]

    failures([(path, value) for path in places(MINIMAL) for value in ODD_FORMS], check)


def test_a_name_that_is_nearly_a_key_of_compose_is_refused():
    """Compose would reject it too, but only on the host."""
    cases = []
    for path in places(MINIMAL):
        inner: Any = MINIMAL
        for key in path:
            inner = inner[key]
        if not isinstance(inner, dict) or path[-1:] in (
            ("environment",),
            ("labels",),
            ("troubles",),
        ):
            continue
        if path[-1:] in (("owners",), ("holds",)):
            continue
        for key in inner:
            if len(key) > 4 and path not in (("volumes",), ("networks",), ("secrets",)):
                for miss in misses(key):
                    made = copy.deepcopy(MINIMAL)
                    target: Any = made
                    for part in path:
                        target = target[part]
                    target[miss] = target.pop(key)
                    cases.append(((*path, miss), made))

    def check(case: Any) -> None:
        with pytest.raises(StackError) as caught:
            judged(case[1])
        assert_sentence(str(caught.value))

    assert len(cases) > 80
    failures(cases, check)


BAD_COMPOSE = {
    "a service twice": "services:\n  web: {image: docker.io/a/b:1}\n  web: {image: 'a:2'}\n",
    "a key twice": "services:\n  web: {image: docker.io/a/b:1, image: docker.io/a/b:2}\n",
    "the file twice": "services: {web: {image: docker.io/a/b:1}}\nservices: {}\n",
    "two documents": "services: {web: {image: docker.io/a/b:1}}\n---\nname: x\n",
    "latest": "services: {web: {image: docker.io/a/b:latest}}\n",
    "no tag": "services: {web: {image: docker.io/a/b}}\n",
    "no registry": "services: {web: {image: 'a/b:1'}}\n",
    "a capital in the image": "services: {web: {image: docker.io/A/b:1}}\n",
    "a blank in the image": "services: {web: {image: 'docker.io/a/b:1 x'}}\n",
    "ports as text": "services: {web: {image: docker.io/a/b:1, ports: '80:80'}}\n",
    "profiles as text": "services: {web: {image: docker.io/a/b:1, profiles: build}}\n",
    "volumes as text": "services: {web: {image: docker.io/a/b:1, volumes: '/a:/a'}}\n",
    "a volume that is nowhere": "services: {web: {image: docker.io/a/b:1, volumes: ['d:/a']}}\n",
    "a network that is nowhere": "services: {web: {image: docker.io/a/b:1, networks: [prox]}}\n",
    "a target that is relative": "services: {web: {image: docker.io/a/b:1, volumes: ['/a:a']}}\n",
    "a target twice": "services: {web: {image: docker.io/a/b:1, volumes: ['/a:/a', '/b:/a']}}\n",
    "a home folder": "services: {web: {image: docker.io/a/b:1, volumes: ['~/a:/a']}}\n",
    "a variable": "services: {web: {image: docker.io/a/b:1, command: echo $HOME}}\n",
    "a variable with braces": "services: {web: {image: docker.io/a/b:1, command: '${X}'}}\n",
    "a dollar alone": "services: {web: {image: docker.io/a/b:1, command: 'a $ b'}}\n",
    "a port of two": "services: {a: {image: d.io/a:1, ports: ['80:80']}, "
    "b: {image: d.io/b:1, ports: ['127.0.0.1:80:81']}}\n",
    "a key of nobody's": "services: {web: {image: docker.io/a/b:1, xyzzy: 1}}\n",
    "a section of nobody's": "services: {web: {image: docker.io/a/b:1}}\nxyzzy: {}\n",
    "a duration": "services: {web: {image: docker.io/a/b:1, healthcheck: {interval: soon}}}\n",
    "restart": "services: {web: {image: docker.io/a/b:1, restart: unless-stoped}}\n",
    "build arguments": "services: {web: {image: 'a:1', build: {context: ., args: {A: b}}}}\n",
    "include": "include: [other.yaml]\nservices: {web: {image: docker.io/a/b:1}}\n",
    "an alias in itself": "services: {web: &x {image: docker.io/a/b:1, labels: *x}}\n",
    "an alias of nothing": "services: {web: *x}\n",
    "a tag of Python": "services: {web: !!python/object/apply:os.system [id]}\n",
    "an empty number": 'services: {web: {image: docker.io/a/b:1, init: !!int ""}}\n',
    "a day that is none": "services: {web: {image: 'd.io/a:1', x-a: !!timestamp 2024-13-45}}\n",
    "a list as a key": "services: {? [a] : {image: docker.io/a/b:1}}\n",
    "a number as a service": "services: {8080: {image: docker.io/a/b:1}}\n",
    "nested": "services: " + "[" * 10**5 + "\n",
    "nested without brackets": "".join(f"{' ' * level}a:\n" for level in range(2000)),
    "a control character": "services: {web: {image: docker.io/a/b:1, command: 'a\x01'}}\n",
    "tabs": "services:\n\tweb: {}\n",
}


@pytest.mark.parametrize("case", BAD_COMPOSE)
def test_a_compose_file_that_would_go_wrong_on_the_host_is_refused(case: str):
    """Before anything is created from it, and at once."""
    with pytest.raises(StackError) as caught:
        judged(f"name: made-up\n{BAD_COMPOSE[case]}")
    assert_sentence(str(caught.value))


def bomb(levels: int, merge: bool = False) -> str:
    """A few lines that expand to 10 ** levels values."""
    lines = ["x-0: &x0 {a: b}" if merge else "x-0: &x0 [a, b]"]
    for level in range(1, levels):
        many = ", ".join([f"*x{level - 1}"] * 10)
        lines.append(f"x-{level}: &x{level} " + (f"{{<<: [{many}]}}" if merge else f"[{many}]"))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("merge", [False, True], ids=["lists", "merge keys"])
def test_nested_aliases_are_bounded(merge: bool, tmp_path: Path):
    """In a Compose file, pins and a mirror's file; normal use of anchors is not affected."""
    with pytest.raises(StackError, match="more than 200000 values"):
        judged(f"name: made-up\nservices: {{}}\n{bomb(12, merge)}")
    for load in (pins.load, lambda path: mirror.load(str(path))):
        (tmp_path / "file.yml").write_text(bomb(12, merge))
        with pytest.raises(UserError, match="more than 200000 values"):
            load(tmp_path / "file.yml")
    judged(f"name: made-up\nservices: {{web: {{image: docker.io/a/b:1}}}}\n{bomb(4, merge)}")


TEMPLATES = {
    "a syntax error": "{% if %}",
    "an unknown filter": "{{ 1 | nope }}",
    "an unknown name": "{{ nope }}",
    "an attribute of nothing": "{{ stack.nope.more }}",
    "a division by zero": "{{ 1 / 0 }}",
    "text and number": "{{ 1 + 'a' }}",
    "a call of text": "{{ 'a'() }}",
    "None in a loop": "{% for x in none %}{% endfor %}",
    "a macro without end": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "a file in itself": "{% include 'made-up/compose.yaml.j2' %}",
    "a range without end": "{% for x in range(10 ** 12) %}x{% endfor %}",
    "a missing file": "{% include 'nope.j2' %}",
    "a macro that is none": "{% from 'made-up/compose.yaml.j2' import nope %}{{ nope() }}",
    "too few arguments": "{{ image() }}",
    "a pin that is a list": "{{ image([]) }}",
    "quotes around nothing": "{{ '",
    "a block left open": "{% for x in [1] %}",
    "a value that YAML has not": "{{ settings | compose }}",
    "letters for a list": "{{ 'abc' | command }}",
    "text for a number": "{{ 'abc' | number }}",
    "a word with blanks": "{{ 'a b' | word }}",
    "deep brackets": "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
    "a surrogate": "{{ '\\ud800' }}",
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_an_error_in_a_template_is_one_sentence_with_its_place(case: str, tmp_path: Path):
    """From Jinja, Python or us."""
    folder = tmp_path / "stacks/made-up"
    folder.mkdir(parents=True)
    (folder / "compose.yaml.j2").write_text(
        f"name: made-up\nservices: {{a: {{image: docker.io/a/b:1}}}}\n# {TEMPLATES[case]}\n"
    )
    given = settings.load(DEFAULTS, STACKS)
    with pytest.raises(UserError) as caught:
        StackRenderer("made-up", given, PINS, NONE, {}, True, tmp_path).render()
    assert_sentence(str(caught.value))
    assert "templates/stacks/made-up/compose.yaml.j2" in str(caught.value)


def test_a_file_that_compose_would_merge_by_itself_is_refused(tmp_path: Path):
    """The plan is based on one file only."""
    folder = tmp_path / "stacks/made-up"
    folder.mkdir(parents=True)
    (folder / "compose.yaml.j2").write_text(
        "name: made-up\nservices: {a: {image: docker.io/a/b:1}}\n"
    )
    (folder / "compose.override.yaml").write_text("services: {a: {privileged: true}}\n")
    given = settings.load(DEFAULTS, STACKS)
    with pytest.raises(StackError, match="which Compose would merge"):
        StackRenderer("made-up", given, PINS, NONE, {}, True, tmp_path).render()


def test_a_stacks_own_env_file_gives_compose_its_variables(tmp_path: Path):
    """Like Compose itself reads it; a default is enough, too."""
    folder = tmp_path / "stacks/made-up"
    folder.mkdir(parents=True)
    (folder / ".env").write_text("FOLDER=/srv/x\nEMPTY=\n")
    (folder / "compose.yaml.j2").write_text(
        "name: made-up\nservices:\n  a:\n    image: docker.io/a/b:1\n"
        "    volumes: ['${FOLDER}:/a', '${EMPTY:-/srv/y}:/b', '${NOT-/srv/z}$FOLDER:/c']\n"
    )
    given = settings.load(DEFAULTS, STACKS)
    found = StackRenderer("made-up", given, PINS, NONE, {}, True, tmp_path).render()
    sources = [mount.source for mount in found.model.services[0].mounts]
    assert sources == ["/srv/x", "/srv/y", "/srv/z/srv/x"]
