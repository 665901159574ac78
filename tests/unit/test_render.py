"""Rendering a made-up stack: which files are rendered or copied, and on which inputs each tag
depends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workstation import pins, render, settings
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.rendered import RenderedStack

ROOT = Path(__file__).parents[2]
HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
PINS = f"""\
images:
  python: {{name: docker.io/library/python, tag: 3.11-slim, digest: null}}
  dockge: {{name: docker.io/louislam/dockge, tag: "1.5.0", digest: "{DIGEST}"}}
sources:
  big_app: {{url: https://github.com/a/big.git, commit: {HEX[:40]}, version: "2.5.5"}}
downloads: {{}}
apt: {{}}
"""
FILES = {
    "macros.j2": "{% macro greet(name) %}hello {{ name }} of {{ project }}{% endmacro %}",
    "made-up/compose.yaml.j2": """\
{% from "macros.j2" import greet %}
# {{ greet("web") }}
name: {{ project }}
services:
  web: {image: {{ image("dockge") }}, labels: {files: {{ digest("web") }}}}
  app: {image: "{{ built("app") }}", build: ./app}
  big-app: {image: "{{ built("big-app") }}", build: ./big-app}
  base: {image: "{{ built("base") }}", build: ./base, profiles: [build]}
""",
    "made-up/web/nested/conf.ini.j2": "memory={{ stack.memory }}\n\n",
    "made-up/web/plain.ini": "literal {{ nothing }}\n",
    "made-up/base/Dockerfile.j2": 'FROM {{ image("python") }}\n',
    "made-up/base/tool.py": "print(1)\n",
    "made-up/app/Dockerfile.j2": 'FROM {{ built("base") }}\nCOPY a.txt /\n',
    "made-up/app/a.txt": "a\n",
    "made-up/big-app/Dockerfile.j2": 'FROM {{ built("base") }}\nADD {{ source("big_app") }} /src\n',
}


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A templates folder with one stack: a base, two images built on it, and a pulled one."""
    for path, content in FILES.items():
        file = tmp_path / "stacks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (tmp_path / "pins.yml").write_text(PINS)
    return tmp_path


def rendered(
    templates: Path, mirror: Mirror | None = None, gpu: bool = True, **changes: Any
) -> RenderedStack:
    values = settings.defaults(ROOT / "group_data/all.py")
    return StackRenderer(
        "made-up",
        settings.load({**values, **changes}),
        pins.load(templates / "pins.yml"),
        mirror or Mirror(),
        {"memory": "8gb"},
        gpu,
        templates,
    ).render()


def refusal(templates: Path) -> str:
    with pytest.raises(UserError) as caught:
        rendered(templates)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def replace(templates: Path, path: str, old: str, new: str) -> None:
    file = templates / "stacks/made-up" / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def tags(templates: Path) -> dict[str, str]:
    """Return service -> tag for the images that are built."""
    return {
        service.name: service.image.partition(":")[2] for service in rendered(templates).model.built
    }


def test_templates_are_rendered_and_other_files_copied(templates: Path):
    """The suffix is removed, the rest of the path stays; blank lines at the end stay too."""
    found = rendered(templates)
    assert set(found.files) == {
        "compose.yaml",
        "web/nested/conf.ini",
        "web/plain.ini",
        "base/Dockerfile",
        "base/tool.py",
        "app/Dockerfile",
        "app/a.txt",
        "big-app/Dockerfile",
    }
    assert found.files["web/nested/conf.ini"] == b"memory=8gb\n\n"
    assert found.files["web/plain.ini"] == b"literal {{ nothing }}\n"


def test_binary_files_are_copied_byte_for_byte(templates: Path):
    """A context may contain any file."""
    content = bytes(range(256)) + b"\r\n"
    (templates / "stacks/made-up/app/logo.png").write_bytes(content)
    assert rendered(templates).files["app/logo.png"] == content


def test_the_stack_lies_in_the_folder_that_the_setting_names(templates: Path):
    """Build contexts are in it."""
    found = rendered(templates, stacks_dir="/srv/stacks")
    assert found.folder == "/srv/stacks/made-up"
    assert found.model.services[1].build == "/srv/stacks/made-up/app"


def test_macros_see_the_project(templates: Path):
    """They are imported by Jinja's rules, without the caller's variables."""
    assert rendered(templates).compose.startswith("# hello web of made-up\n")


def test_images_come_with_their_digest_and_from_the_mirror(templates: Path):
    """Pinned sources come with their commit."""
    mirror = Mirror(registry="192.168.0.5", http="http://192.168.0.5")
    web = rendered(templates).model.services[0]
    assert web.image == f"docker.io/louislam/dockge:1.5.0@{DIGEST}"
    found = rendered(templates, mirror)
    assert found.model.services[0].image == f"192.168.0.5/{web.image}"
    assert found.files["base/Dockerfile"] == (
        b"FROM 192.168.0.5/docker.io/library/python:3.11-slim\n"
    )
    source = f"ADD http://192.168.0.5/github.com/a/big.git#{HEX[:40]} /src"
    assert source.encode() in found.files["big-app/Dockerfile"]


def test_the_pins_that_services_are_made_of_are_known(templates: Path):
    """Including those of a built image's base, but not those of a folder that no service uses."""
    assert rendered(templates).pins_used == {
        "images.dockge",
        "images.python",
        "sources.big_app",
    }
    line = '  big-app: {image: "{{ built("big-app") }}", build: ./big-app}\n'
    replace(templates, "compose.yaml.j2", line, "")
    found = rendered(templates)
    assert found.pins_used == {"images.dockge", "images.python"}
    assert "big-app/Dockerfile" in found.files


TOOLS = """\
  tool: {image: "{{ image("python") }}", profiles: [tools]}
  dev: {image: "{{ built("dev") }}", build: ./dev, profiles: [tools]}
"""


def test_what_a_person_starts_comes_with_its_files_but_without_its_pins(templates: Path):
    """A run neither pulls nor builds it."""
    folder = templates / "stacks/made-up/dev"
    folder.mkdir()
    (folder / "Dockerfile.j2").write_text('FROM {{ image("node") }}\nADD {{ source("x") }} /x\n')
    text = (templates / "pins.yml").read_text()
    text = text.replace("sources:\n", SOURCE).replace("images:\n", NODE)
    (templates / "pins.yml").write_text(text)
    before = rendered(templates)
    with (templates / "stacks/made-up/compose.yaml.j2").open("a") as file:
        file.write(TOOLS)
    found = rendered(templates)
    assert found.pins_used == before.pins_used
    assert "dev/Dockerfile" in found.files
    assert {"tool", "dev"} == {one.name for one in found.model.services} - {
        one.name for one in before.model.services
    }
    # A service that runs needs them.
    replace(templates, "compose.yaml.j2", "./dev, profiles: [tools]", "./dev")
    assert rendered(templates).pins_used - before.pins_used == {"images.node", "sources.x"}


NODE = "images:\n  node: {name: docker.io/library/node, tag: '22', digest: null}\n"
SOURCE = f'sources:\n  x: {{url: https://github.com/a/x.git, commit: {HEX[:40]}, version: "7.1"}}\n'


def test_an_image_is_not_built_from_one_that_only_a_person_builds(templates: Path):
    """The registry has none of that name."""
    replace(templates, "compose.yaml.j2", "profiles: [build]", "profiles: [dev]")
    assert refusal(templates) == (
        "Service app is built from the image of base, which a run does not build because of its "
        "`profiles`: add the profile build there."
    )


def test_a_dockerfile_that_only_a_person_builds_is_checked_too(templates: Path):
    """It is part of what a run writes."""
    with (templates / "stacks/made-up/compose.yaml.j2").open("a") as file:
        file.write('  dev: {image: "{{ built("web") }}", build: ./web, profiles: [dev]}\n')
    assert "no web/Dockerfile.j2" in refusal(templates)


def test_a_file_of_variables_starts_no_service_that_the_plan_does_not_show(templates: Path):
    """Compose reads its profiles from there too."""
    (templates / "stacks/made-up/.env").write_text("COMPOSE_PROFILES=tools\n")
    assert "sets COMPOSE_PROFILES" in refusal(templates)


def test_a_built_image_has_the_version_of_its_only_source(templates: Path):
    """Its name does not matter, nor what the base is built from."""
    replace(templates, "app/Dockerfile.j2", "COPY", 'ADD {{ source("big_app") }} /src\nCOPY')
    assert tags(templates)["app"].startswith("2.5.5-")
    found = rendered(templates)
    (source,) = pins.load(templates / "pins.yml").sources.values()
    sources = {"big_app": source}
    by_name = {one.name: found.source(one, sources) for one in found.model.built}
    assert by_name == {"app": source, "big-app": source, "base": None}


def test_a_built_image_has_version_and_hash_in_its_tag(templates: Path):
    """The version of the source with the same name, with _ instead of -; 1 if there is none."""
    found = tags(templates)
    assert found["app"].startswith("1-")
    assert found["big-app"].startswith("2.5.5-")
    assert all(len(tag.rpartition("-")[2]) == 12 for tag in found.values())


def test_the_order_of_the_file_system_does_not_count(
    templates: Path, monkeypatch: pytest.MonkeyPatch
):
    """It differs between machines; if tags depended on it, all images would be rebuilt."""
    before = rendered(templates)

    def backwards(original: Any) -> Any:
        return lambda self, *given: sorted(original(self, *given), reverse=True)

    for name in ("iterdir", "glob", "rglob"):
        monkeypatch.setattr(Path, name, backwards(getattr(Path, name)))
    after = rendered(templates)
    assert after == before
    assert after.model == before.model


PRINT = """
import hashlib, sys
from tests.unit.test_templates import STACKS, render
for stack in STACKS:
    found = render(stack)
    for name in sorted(found.files):
        print(stack, name, hashlib.sha256(found.files[name]).hexdigest())
    print(*(service.image for service in found.model.services))
"""


def test_another_process_renders_the_same():
    """Nothing is random: neither the order of sets, nor times, nor ids."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PRINT],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("4242", "Asia/Tokyo"))
    ]
    assert outputs[0].count("compose.yaml") >= 4
    assert outputs[0] == outputs[1]


def test_the_child_names_its_base_by_tag(templates: Path):
    """This makes the base's hash part of the child's."""
    found = rendered(templates)
    base = next(service for service in found.model.services if service.name == "base")
    assert found.files["app/Dockerfile"].startswith(f"FROM {base.image}\n".encode())


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_one_byte_in_a_child_changes_its_tag_alone(templates: Path):
    """Neither its base nor the other child is rebuilt."""
    before = tags(templates)
    replace(templates, "app/a.txt", "a", "b")
    assert changed(before, tags(templates)) == {"app"}


def test_one_byte_in_the_base_changes_all_that_stand_on_it(templates: Path):
    """The chain goes through the rendered Dockerfiles."""
    before = tags(templates)
    replace(templates, "base/tool.py", "1", "2")
    assert changed(before, tags(templates)) == {"app", "base", "big-app"}


def test_a_new_pin_changes_what_uses_it(templates: Path):
    """A source's commit changes one image, the Python image changes all."""
    before = tags(templates)
    (templates / "pins.yml").write_text(PINS.replace(HEX[:40], "f" * 40))
    assert changed(before, tags(templates)) == {"big-app"}
    (templates / "pins.yml").write_text(PINS.replace("3.11-slim", "3.12-slim"))
    assert changed(before, tags(templates)) == {"app", "base", "big-app"}


def test_the_compose_file_changes_no_tag(templates: Path):
    """Flags of a service do not require a build."""
    before = tags(templates)
    replace(templates, "compose.yaml.j2", "build: ./app", "build: ./app, restart: always")
    assert tags(templates) == before


def test_a_renamed_or_moved_file_changes_the_tag(templates: Path):
    """The same bytes under another name make another image."""
    replace(templates, "app/Dockerfile.j2", "COPY a.txt /", "COPY *.txt /")
    before = tags(templates)
    file = templates / "stacks/made-up/app/a.txt"
    file.rename(file.with_name("b.txt"))
    assert changed(before, tags(templates)) == {"app"}


def test_bytes_that_move_between_files_change_the_tag(templates: Path):
    """Contents are not simply concatenated."""
    folder = templates / "stacks/made-up/app"
    (folder / "b.txt").write_text("bc")
    before = tags(templates)
    (folder / "a.txt").write_text("a\nb")
    (folder / "b.txt").write_text("c")
    assert changed(before, tags(templates)) == {"app"}


def test_a_digest_follows_the_files_that_a_service_mounts(templates: Path):
    """Including files that depend on the stack's data: the label changes, so Compose re-creates the
    container."""
    before = rendered(templates).model.services[0].keys["labels"]["files"]
    replace(templates, "web/nested/conf.ini.j2", "memory=", "Memory=")
    assert rendered(templates).model.services[0].keys["labels"]["files"] != before


def test_the_dockerfile_of_a_service_is_found(templates: Path):
    """If the folder has none, an error names it before anything is planned."""
    found = rendered(templates)
    assert found.dockerfile(found.model.services[3]) == (
        "FROM docker.io/library/python:3.11-slim\n"
    )
    (templates / "stacks/made-up/app/Dockerfile.j2").unlink()
    assert refusal(templates).endswith("templates have no app/Dockerfile.j2: add it.")


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ('{{ image("dokge") }}', "pins.yml has no image dokge"),
        ('{{ source("dokge") }}', "pins.yml has no source dokge"),
        ("{{ stack.shm_size }}", "shm_size"),
        ("{{ stack.flags['web'] | join(' ') }}", "flags"),
        ("{{ settings.domian }}", "domian"),
        ("{{ pin.sources.nothing.commit }}", "nothing"),
        ("{{ undefined_variable }}", "'undefined_variable' is undefined"),
        ("{% if undefined_variable %}{% endif %}", "'undefined_variable' is undefined"),
    ],
)
def test_what_a_template_lacks_is_one_sentence(templates: Path, new: str, expected: str):
    """The error for a missing pin or an undefined variable names the template."""
    replace(templates, "app/Dockerfile.j2", "COPY a.txt /", new)
    message = refusal(templates)
    assert message.startswith("templates/stacks/made-up/app/Dockerfile.j2")
    assert expected in message


def test_a_syntax_error_has_its_line(templates: Path):
    """Jinja knows the line, and the user needs it."""
    replace(templates, "app/Dockerfile.j2", "COPY a.txt /", "{% if %}")
    assert refusal(templates).startswith("templates/stacks/made-up/app/Dockerfile.j2, line 2: ")


def test_a_missing_macro_file_is_one_sentence(templates: Path):
    """It says which template uses it."""
    (templates / "stacks/macros.j2").unlink()
    assert "macros.j2" in refusal(templates)


def test_bytecode_of_python_is_no_part_of_a_stack(templates: Path):
    """It differs between machines, so each would build an image of its own."""
    before = rendered(templates).files
    cache = templates / "stacks/made-up/app/__pycache__"
    cache.mkdir()
    (cache / "a.cpython-311.pyc").write_bytes(b"\x00")
    assert rendered(templates).files == before


def test_a_folder_that_is_used_but_missing_is_named(templates: Path):
    """`built()` for a service without a folder."""
    replace(templates, "compose.yaml.j2", 'built("app")', 'built("ap")')
    assert "made-up/ap, which does not exist" in refusal(templates)


def test_images_that_are_built_from_each_other_are_refused(templates: Path):
    """Instead of endless recursion."""
    replace(templates, "base/Dockerfile.j2", 'image("python")', 'built("app")')
    assert refusal(templates).startswith(
        "The images of made-up are built from each other in a circle: "
    )


def test_a_stack_without_a_compose_file_is_refused(templates: Path):
    """The error names the missing file."""
    (templates / "stacks/made-up/compose.yaml.j2").unlink()
    assert refusal(templates).startswith("There is no stack made-up: ")


def test_a_single_template_outside_the_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For units: values are passed by name, a missing one is an error, and the last newline
    stays."""
    (tmp_path / "ollama").mkdir()
    (tmp_path / "ollama/x.service.j2").write_text("[Service]\nPort={{ port }}\n")
    monkeypatch.setattr(render, "TEMPLATES", tmp_path)
    assert render.template("ollama/x.service.j2", port=1) == "[Service]\nPort=1\n"
    with pytest.raises(Exception, match="'port' is undefined"):
        render.template("ollama/x.service.j2")


SECRET = """\
secrets:
  redis_password: {file: ./secrets/redis_password, x-workstation: {owner: "999:1000"}}
"""


def test_what_begins_with_an_underscore_is_for_other_templates(templates: Path):
    """It is imported, and not copied to the host."""
    file = templates / "stacks/made-up/_parts.j2"
    file.write_text("{% macro one() %}hello{% endmacro %}")
    replace(
        templates,
        "compose.yaml.j2",
        "name: {{ project }}",
        '{% from "made-up/_parts.j2" import one %}\n# {{ one() }}\nname: {{ project }}',
    )
    found = rendered(templates)
    assert "# hello" in found.compose
    assert not [name for name in found.files if "parts" in name]


def test_a_template_refuses_data_with_a_sentence(templates: Path):
    """For invalid values that a type alone does not detect."""
    replace(
        templates, "compose.yaml.j2", "# {{ greet", '{{ fail("memory is too much") }}# {{ greet'
    )
    assert refusal(templates) == "memory is too much."


def test_the_version_of_a_download_is_in_the_tag_of_what_is_built_from_it(templates: Path):
    """Like the version of a source."""
    pinned = "downloads: {app: {url: 'https://a.b/c', version: '1.2.3', sha256: null}}"
    text = (templates / "pins.yml").read_text().replace("downloads: {}", pinned)
    (templates / "pins.yml").write_text(text)
    assert "made-up/app:1.2.3-" in rendered(templates).compose


def test_a_secret_is_given_only_to_who_lays_it_down(templates: Path):
    """An empty one is an error then, but not if the stack is rendered for another purpose."""
    file = templates / "stacks/made-up/compose.yaml.j2"
    file.write_text(file.read_text() + SECRET)
    found = rendered(templates, redis_password="ge heim")
    (secret,) = found.model.secrets
    assert found.secret(secret) == b"ge heim"
    assert "ge heim" not in f"{found} {found.compose}"
    with pytest.raises(UserError, match="REDIS_PASSWORD is not set"):
        rendered(templates).secret(secret)


def test_a_secret_that_is_no_such_setting_is_refused(templates: Path):
    """A setting that is shown must not be treated as a secret."""
    file = templates / "stacks/made-up/compose.yaml.j2"
    file.write_text(file.read_text() + SECRET.replace("redis_password", "redis_pasword"))
    message = refusal(templates)
    assert (
        "redis_pasword, but no secret setting has that name (did you mean redis_password?)"
        in message
    )
