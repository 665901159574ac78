"""Renders a stack's folder: its Compose file, its build contexts and configuration files.

In ``templates/stacks/<stack>/``, every file whose name ends in ``.j2`` is rendered and loses that
suffix, and the rest is copied; names that begin with ``_`` are only for other templates. Templates
can use:

- ``settings``, ``pin``, ``mirror``; ``stack``: the dictionary in ``group_data/<stack>.py``
- ``gpu``: whether services may reserve a GPU
- ``image("dockge")``: reference of a pinned image; ``source("fooocus")``: a pinned git source
- ``built("fooocus")``: name of an image built from the folder ``fooocus/``; its tag is the version
  of what it is built from and a hash of everything that goes into it, so an image needs to be built
  if its tag does not exist
- ``digest("comfyui")``: hash of the folder ``comfyui/``, for a label that makes Compose recreate
  a container when a file that it mounts changes
- ``address("comfyui", "internet", ollama=True)``: hardware address of a container, which says what
  it may reach (``workstation.compose.fence``)
- ``fail("...")``: rejects the stack's data with this sentence

Values of settings and data are inserted only through the filters of ``workstation.quoting``, so
that none can break out of its place.

No template sees a secret: the Compose file names the stack's secrets, and ``compose.laid_down``
puts them on the host.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import traceback
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from dotenv.parser import parse_stream
from jinja2.bccache import Bucket
from jinja2.sandbox import safe_range
from pydantic import SecretStr

from workstation import given_file, quoting
from workstation.compose import fence
from workstation.compose import rules as compose_rules
from workstation.compose.builds import origin
from workstation.errors import UserError, named, nearest
from workstation.mirror import Mirror
from workstation.pins import Pins
from workstation.places import of_stack
from workstation.rendered import RenderedStack, check_dockerfiles
from workstation.settings import SECRETS, Settings
from workstation.stack import Service, Stack, StackError, parse
from workstation.stack_settings import checked

TEMPLATES = Path(__file__).parent.parent / "templates"

_LARGEST = 64 * 2**20
"""Largest size in bytes of a stack's file: it goes to the host over SSH, and into memory here."""


# compose-go, cli/options.go: DefaultOverrideFileNames.
_OVERRIDES = frozenset(
    f"{name}.override.{ending}"
    for name in ("compose", "docker-compose")
    for ending in ("yml", "yaml")
)


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates, so that each is compiled once instead of once per host.

    Jinja looks one up by name and file, and drops it if its source has changed.
    """

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


def _environment(root: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        bytecode_cache=_COMPILED,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters.update(quoting.FILTERS)
    # Makes a range that would never end an error.
    environment.globals["range"] = safe_range
    return environment


class StackRenderer:
    """Renders one stack for one host."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        pins: Pins,
        mirror: Mirror,
        data: Mapping[str, Any],
        gpu: bool,
        templates: Path = TEMPLATES,
        hidden: Mapping[str, bytes] | None = None,
    ) -> None:
        """Prepare to render a stack.

        + data: of the stack, see ``stack_settings``
        + hidden: further files by path, which only root may read
        """
        self._name = name
        self._settings = settings
        self._pins = pins
        self._mirror = mirror
        self._root = templates / "stacks" / name
        self._folders: dict[str, dict[str, bytes]] = {}
        self._rendering: list[str] = []
        # By folder, or "" for the Compose file: the pins and the other folders that it uses itself.
        self._pins_used: dict[str, set[str]] = defaultdict(set)
        self._folders_used: dict[str, set[str]] = defaultdict(set)
        self._hidden = dict(hidden or {})
        self._environment = _environment(templates / "stacks")
        self._environment.globals.update(
            settings=settings,
            stack=checked(name, data, self._root.parent),
            pin=pins,
            mirror=mirror,
            gpu=gpu,
            project=name,
            image=self._image,
            source=self._source,
            built=self._built,
            digest=self._digest,
            address=partial(fence.address, name),
            fail=_fail,
        )
        self._folder = f"{settings.stacks_dir}/{name}"

    def render(self) -> RenderedStack:
        """Return the rendered stack.

        Raises StackError, naming template and line, if a template fails.
        """
        if not (self._root / "compose.yaml.j2").is_file():
            raise StackError(
                f"There is no stack {self._name}: {self._root / 'compose.yaml.j2'} does not exist.",
                id="stack-unknown",
            )
        compose = self._render_file(self._root / "compose.yaml.j2")
        # This has rendered everything that its services use; the remaining files may be unused.
        used, shown = set(self._pins_used[""]), set(self._folders_used[""])
        rendered = {"compose.yaml": compose}
        files = [file for file in self._root.glob("[!_]*") if not file.is_dir()]
        for file in _distinct(self._root, files):
            rendered.setdefault(_target(file.name), self._content(file))
        for folder in sorted(path for path in self._root.iterdir() if path.is_dir()):
            for path, content in self._render_folder(folder.name).items():
                rendered[f"{folder.name}/{path}"] = content
        rendered |= self._hidden
        place = f"templates/stacks/{self._name}/compose.yaml.j2"
        for name in _OVERRIDES & set(rendered):
            raise StackError(
                f"templates/stacks/{self._name} has {name}, which Compose would merge into the "
                f"stack without the plan showing it: move its content to {place}.",
                id="compose-override",
            )
        written = given_file.read(self._root / "compose.yaml.j2", _LARGEST).decode()
        variables = _variables(rendered.get(".env", b""))
        if "COMPOSE_PROFILES" in variables:
            raise StackError(
                f"templates/stacks/{self._name}/.env sets COMPOSE_PROFILES, with which Compose "
                "would start services that the plan does not show: remove it, and their "
                "`profiles` if they should always run.",
                id="compose-override",
            )
        model = parse(compose.decode(), self._folder, place, variables, written)
        if model.name != self._name:
            raise StackError(
                f"{place} has the name {named(model.name)}, but must have that of its folder: "
                "write `name: {{ project }}`."
            )
        if model.worker and (problem := self._mirror.refuses(model.worker.repository)):
            raise StackError(
                f"The worker of {self._name} comes from {model.worker.repository}, {problem}.",
                id="worker-repository-plain",
            )
        secrets = {secret.setting: self._secret(secret.setting) for secret in model.secrets}
        places = tuple(of_stack(self._settings, model))
        # Compose reads variables from .env, including passwords.
        hidden = frozenset({".env", *self._hidden})
        made = RenderedStack(
            model,
            self._folder,
            rendered,
            frozenset(self._used(model, used, shown)),
            {name: self._origin(name) for name in self._folders},
            secrets,
            places,
            hidden,
        )
        compose_rules.check(model, place, rendered)
        check_dockerfiles(made)
        return made

    def _used(self, model: Stack, pins: set[str], shown: set[str]) -> set[str]:
        """Return the pins of what a run starts and builds.

        + pins: those in the Compose file itself
        + shown: the folders whose hash is in the Compose file
        """
        wanted = {one.image for one in model.wanted}
        by_hand = {one.image for one in model.services} - wanted
        for key, image in self._pins.images.items():
            if image.ref(self._mirror) in by_hand:
                pins.discard(f"images.{key}")
        waiting = [*shown, *(self._built_in(one) for one in model.built)]
        seen = set()
        while waiting:
            folder = waiting.pop()
            if folder not in seen:
                seen.add(folder)
                pins |= self._pins_used[folder]
                waiting += self._folders_used[folder]
        return pins

    def _built_in(self, service: Service) -> str:
        """Return the folder of the stack that contains the build context of a service."""
        return posixpath.relpath(service.build or "", self._folder).partition("/")[0]

    def _secret(self, setting: str) -> SecretStr:
        if setting not in SECRETS:
            raise StackError(
                f"templates/stacks/{self._name} has the secret {setting}, but no secret setting "
                f"has that name{nearest(setting, SECRETS)}: choose from "
                f"{', '.join(sorted(SECRETS))}."
            )
        value: SecretStr = getattr(self._settings, setting)
        return value

    def _content(self, path: Path) -> bytes:
        if path.suffix == ".j2":
            return self._render_file(path)
        name = f"templates/stacks/{path.relative_to(self._root.parent).as_posix()}"
        try:
            content = given_file.read(path, _LARGEST)
        except OSError as error:
            raise StackError(
                f"{name} cannot be read: {error.strerror}.", id="file-unreadable"
            ) from None
        if content.startswith((b"#!", b"\xef\xbb\xbf#!")) and (
            content.startswith(b"\xef") or b"\r\n" in content
        ):
            raise StackError(
                f"{name} has a byte order mark or Windows line endings, so it cannot run as a "
                "script: save it as plain UTF-8 with Unix line endings.",
                id="script-line-endings",
            )
        return content

    def _render_file(self, path: Path) -> bytes:
        template = path.relative_to(self._root.parent).as_posix()
        return _rendered(self._environment, template, "templates/stacks").encode()

    def _render_folder(self, name: str) -> dict[str, bytes]:
        """Return the files of one service's folder by their path in it."""
        if name not in self._folders:
            root = self._root / name
            if not root.is_dir():
                raise StackError(
                    f"{self._root.name} uses the folder {root}, which does not exist.",
                    id="template-failed",
                )
            if name in self._rendering:
                raise StackError(
                    f"The images of {self._name} are built from each other in a circle: {name}.",
                    id="template-failed",
                )
            self._rendering.append(name)
            # Python's bytecode would make an image another one on each machine.
            found = [path for path in root.rglob("*") if "__pycache__" not in path.parts]
            files = [path for path in found if not path.is_dir()]
            self._folders[name] = {
                _target(path.relative_to(root).as_posix()): self._content(path)
                for path in _distinct(root, files)
            }
            self._rendering.remove(name)
        return self._folders[name]

    def _digest(self, name: str) -> str:
        self._folders_used[self._place].add(name)
        return self._hash(name)

    def _hash(self, name: str) -> str:
        total = hashlib.sha256()
        for path, content in self._render_folder(name).items():
            total.update(f"{path}\0{len(content)}\0".encode() + content)
        return total.hexdigest()[:12]

    def _built(self, name: str) -> str:
        if self._place:
            self._folders_used[self._place].add(name)
        made_of = self._hash(name)
        return f"{self._name}/{name}:{self._version(name)}-{made_of}"

    @property
    def _place(self) -> str:
        """The folder that is being rendered; empty for the files of the stack itself."""
        return self._rendering[-1] if self._rendering else ""

    def _origin(self, folder: str) -> str:
        return origin(folder, self._pins_used[folder], self._pins)

    def _version(self, folder: str) -> str:
        """Return the version of what the image of a rendered folder is built from, or ``1``."""
        section, _, key = self._origin(folder).partition(".")
        if section == "images":
            return self._pins.images[key].tag
        if section == "sources":
            return self._pins.sources[key].version
        return self._pins.downloads[key].version if section else "1"

    def _image(self, key: str) -> str:
        if key not in self._pins.images:
            raise jinja2.UndefinedError(f"pins.yml has no image {key}")
        self._pins_used[self._place].add(f"images.{key}")
        return self._pins.images[key].ref(self._mirror)

    def _source(self, key: str) -> str:
        if key not in self._pins.sources:
            raise jinja2.UndefinedError(f"pins.yml has no source {key}")
        self._pins_used[self._place].add(f"sources.{key}")
        pin = self._pins.sources[key]
        return f"{self._mirror.url(pin.url)}#{pin.commit}"


def _fail(message: str) -> NoReturn:
    """Reject the stack's data from within a template. Raises StackError."""
    raise StackError(f"{message}.", id="stack-data-invalid")


def _target(path: str) -> str:
    """Return the path on the host of a file in the templates."""
    return path.removesuffix(".j2")


def _distinct(root: Path, files: list[Path]) -> list[Path]:
    """Return files, sorted. Raises StackError for two that would become the same file."""
    seen: dict[str, Path] = {}
    for file in sorted(files):
        other = seen.setdefault(_target(file.relative_to(root).as_posix()), file)
        if other is not file:
            raise StackError(
                f"{root} has both {other.relative_to(root)} and {file.relative_to(root)}, which "
                "become the same file: remove one of them.",
                id="template-failed",
            )
    return sorted(files)


def _variables(content: bytes) -> dict[str, str]:
    """Return the variables in a stack's own .env, which Compose reads."""
    lines = parse_stream(io.StringIO(content.decode(errors="replace")))
    return {line.key: line.value or "" for line in lines if line.key}


def _rendered(
    environment: jinja2.Environment, path: str, root: str, values: Mapping[str, Any] | None = None
) -> str:
    """Return the text of a template.

    + path: below the folder that ``root`` names in errors
    + values: what it uses besides the environment's globals

    Raises StackError, naming template and line, for anything that goes wrong in it.
    """
    place = f"{root}/{path}"
    try:
        text = environment.get_template(path).render(values or {})
        text.encode()
        return text
    except UserError:
        raise
    except jinja2.TemplateSyntaxError as error:
        raise StackError(
            f"{root}/{error.name}, line {error.lineno}: {_said(error)}.", id="template-failed"
        ) from error
    except jinja2.TemplateNotFound as error:
        missing = "" if error.name == path else f" uses {root}/{error.name}, which"
        where = f"{root}/{path}{missing} is missing"
        raise StackError(
            f"{where}: restore it from the repository.", id="checkout-incomplete"
        ) from error
    except UnicodeDecodeError as error:
        raise StackError(
            f"{place}, or a template that it imports, is not UTF-8: save it as UTF-8.",
            id="file-not-utf8",
        ) from error
    except OSError as error:
        raise StackError(
            f"{place} cannot be read: {error.strerror}.", id="file-unreadable"
        ) from error
    except Exception as error:
        file, line = _line(error)
        known = f"{root}/{file}" if file else place
        what = "" if isinstance(error, jinja2.TemplateError | ValueError) else type(error).__name__
        raise StackError(
            f"{known}, line {line}: {what}{': ' if what else ''}{_said(error)}.",
            id="template-failed",
        ) from error


def _said(error: Exception) -> str:
    """Return an error's message on one line, shortened."""
    text = " ".join(str(getattr(error, "message", None) or error).split()).rstrip(".")
    return text if len(text) < 400 else f"{text[:400]}..."


def _line(error: Exception) -> tuple[str, int]:
    """Return the innermost template that an error went through, with its path below ``stacks/`` or
    its folder, and the line in it; an empty string and 0 if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".j2"):
            path = Path(frame.filename)
            parts = path.parts
            start = len(parts) - parts[::-1].index("stacks") if "stacks" in parts else -2
            return "/".join(parts[start:]), frame.lineno or 0
    return "", 0


def template(path: str, **values: Any) -> str:
    """Return the rendered text of a file in ``templates/`` outside the stacks.

    + path: below ``templates/``, such as ``ollama/ollama.service.j2``
    + values: what the template uses; a missing one is an error

    Raises UserError, naming template and line.
    """
    return _rendered(_environment(TEMPLATES), path, "templates", values)
