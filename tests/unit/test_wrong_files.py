"""Wrong pins and mirrors, and files that are unusable: they are rejected, or arrive unchanged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit import wrong_inputs
from tests.unit.test_templates import ROOT
from tests.unit.wrong_inputs import SECRET, odd_files
from tests.unit.wrong_outcomes import (
    DEFAULTS,
    NONE,
    PINS,
    STACKS,
    VALUES,
    difference,
    dump,
    failures,
    files_of,
    outcome,
    render,
    replaced,
)
from workstation import environment, mirror, pins, settings
from workstation.mirror import Mirror
from workstation.pins import Pins
from workstation.render import StackRenderer
from workstation.stack import StackError

PIN_KEYS = [
    *("images.dockge.name", "images.dockge.tag", "images.dockge.digest", "images.comfyui.cuda"),
    *("images.comfyui.compute", "sources.fooocus.url", "sources.fooocus.commit"),
    *("sources.fooocus.version", "downloads.llamacpp.url", "downloads.llamacpp.version"),
    *(
        "downloads.llamacpp.sha256",
        "apt.docker.key_url",
        "apt.docker.fingerprint",
        "apt.docker.uri",
    ),
    *("apt.docker.suite", "apt.docker.components", "apt.docker.version", "images", "images.dockge"),
]


def texts_in(value: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            yield from texts_in(one)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("key", PIN_KEYS)
def test_a_pin_is_refused_or_arrives_as_it_is(key: str):
    """In the images and Dockerfiles that use it; a line of apt's sources stays one line."""
    content = yaml.safe_load((ROOT / "pins.yml").read_text())
    given = settings.load({**DEFAULTS, "gpu": "none"}, STACKS)

    def everything(value: Any) -> tuple[Pins, list[str]]:
        made = copy.deepcopy(content)
        inner = made
        *path, last = key.split(".")
        for part in path:
            inner = inner[part]
        inner[last] = value
        found = pins._parse(made, None)
        if key.startswith("apt"):
            return found, []
        stack = render("knowledge-center" if "llamacpp" in key else "dhoch3", given, pinned=found)
        return found, list(texts_in(files_of(stack)))

    def check(value: Any) -> None:
        found = outcome(lambda: everything(value))
        if found is None:
            return
        # pip finds the download by its version; Renovate reads its address.
        used = key.count(".") == 2 and not key.startswith("apt") and "llamacpp.url" not in key
        if used and value not in (None, ""):
            assert any(str(value) in text for text in found[1])
        repository = found[0].apt["docker"]
        for line in (repository.uri, repository.suite, repository.components, repository.key_url):
            assert line.isprintable()
            assert not set(line) & set("'\"\\$`|&;#{}%")

    addresses = [f"https://a.b/{text}" for text in wrong_inputs.texts()]
    images = [f"docker.io/{text}" for text in wrong_inputs.texts()]
    failures([*VALUES, *addresses, *images, "latest", "louislam/dockge", "library/redis"], check)


def as_yaml(content: Any) -> str:
    """A file with this content; a value that no file can contain is replaced with another wrong
    value."""
    try:
        text = dump(content)
        text.encode()
        return text
    except (yaml.YAMLError, RecursionError, ValueError):
        return "http: [\n"


@pytest.mark.parametrize("key", Mirror.model_fields)
def test_a_key_of_a_mirrors_file_is_refused_or_arrives_as_it_is(key: str, tmp_path: Path):
    """In every line that downloads something."""
    given = settings.load({**DEFAULTS, "gpu": "none"}, STACKS)
    path = tmp_path / "mirror.yml"

    def everything(value: Any) -> Any:
        path.write_text(as_yaml({key: value}))
        found = mirror.load(str(path))
        pinned = pins.load(ROOT / "pins.yml", found.pins)
        return found, files_of(render("knowledge-center", given, mirror=found, pinned=pinned))

    known = {"http": "http://harmless", "registry": "harmless:1", "pypi": "http://harmless"}
    harmless = {**known, "npm": "http://harmless"}.get(key)
    made = everything(harmless)[1] if harmless else None

    def check(value: Any) -> None:
        found = outcome(lambda: everything(value))
        if found is not None and harmless and getattr(found[0], key):
            expected = replaced(made, harmless, getattr(found[0], key))
            assert difference(found[1], expected) == ""

    wrong = [f"http://a.b/{text}" for text in wrong_inputs.texts()]
    more = ["http://me:Geheim-9x@m", "http://[::1", "http://h:99999", "ftp://x", "h:0", "http://"]
    failures([*VALUES, *wrong, *more], check)


class TestFilesOfAPerson:
    """A file that is a folder, an endless pipe, in another encoding, empty or truncated."""

    @pytest.mark.parametrize("way", odd_files(b""))
    @pytest.mark.parametrize("file", [".env", "all.py", "dhoch3.py", "pins.yml", "mirror.yml"])
    def test_it_is_refused_or_read(self, file: str, way: str, tmp_path: Path):
        """Nothing blocks, and the only output is one sentence."""
        content = {
            ".env": b"WORKSTATION_HOST=gpu1\nSMB_PASSWORD=" + SECRET.encode() + b"\n",
            "all.py": (ROOT / "group_data/all.py").read_bytes(),
            "dhoch3.py": (ROOT / "group_data/dhoch3.py").read_bytes(),
            "pins.yml": (ROOT / "pins.yml").read_bytes(),
            "mirror.yml": b"http: http://m\n",
        }[file]
        folder = tmp_path / "group_data" if file.endswith(".py") else tmp_path
        folder.mkdir(exist_ok=True)
        path = folder / file
        path.write_bytes(content)
        odd_files(content)[way](path)

        def read() -> Any:
            if file == "pins.yml":
                return pins.load(path)
            if file == "mirror.yml":
                return mirror.load(str(path))
            found = environment.read({"WORKSTATION_HOST": "gpu1"}, tmp_path, ["dhoch3"])
            return settings.load({**DEFAULTS, **found.settings})

        found = outcome(read)
        if way not in ("missing", "empty", "Latin-1", "NUL", "cut off"):
            assert found is None

    @pytest.mark.parametrize("way", odd_files(b""))
    @pytest.mark.parametrize("file", ["compose.yaml.j2", "web/Dockerfile.j2", "web/run.sh"])
    def test_so_is_one_of_a_stacks_templates(self, file: str, way: str, tmp_path: Path):
        """The same applies to files that are rendered and files that are copied."""
        contents = {
            "compose.yaml.j2": "name: {{ project }}\nservices:\n  web:\n    build: ./web\n"
            "    image: {{ built('web') }}\n",
            "web/Dockerfile.j2": "FROM {{ image('python') }}\nCOPY run.sh /\n",
            "web/run.sh": "#!/bin/sh\necho\n",
        }
        folder = tmp_path / "stacks/made-up"
        (folder / "web").mkdir(parents=True)
        for name, text in contents.items():
            (folder / name).write_text(text)
        odd_files(contents[file].encode())[way](folder / file)
        given = settings.load(DEFAULTS, STACKS)
        found = outcome(
            lambda: StackRenderer("made-up", given, PINS, NONE, {}, True, tmp_path).render()
        )
        if way in ("folder", "pipe", "loop of links", "endless", "missing"):
            assert found is None

    @pytest.mark.parametrize("content", [b"#!/bin/sh\r\necho\r\n", b"\xef\xbb\xbf#!/bin/sh\n"])
    def test_a_script_that_no_kernel_starts_is_refused(self, content: bytes, tmp_path: Path):
        """Its container would only say that the file does not exist."""
        folder = tmp_path / "stacks/made-up"
        folder.mkdir(parents=True)
        (folder / "compose.yaml.j2").write_text(
            "name: made-up\nservices: {a: {image: docker.io/a/b:1}}\n"
        )
        (folder / "run.sh").write_bytes(content)
        given = settings.load(DEFAULTS, STACKS)
        with pytest.raises(StackError, match="so it cannot run as a script"):
            StackRenderer("made-up", given, PINS, NONE, {}, True, tmp_path).render()
