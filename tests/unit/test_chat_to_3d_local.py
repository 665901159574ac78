"""What chat-to-3d's backend ``local`` decides without its network: settings, folders, sentences."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

APP = Path(__file__).resolve().parents[2] / "templates/stacks/chat-to-3d/chat-to-3d-allinone"
OURS = ("local_3d", "torchmcubes", "local_3d_network", "local_3d_picture", "local_3d_glb")


class NoSurfaceError(ValueError):
    pass


class Array:
    """As much of an array as is passed on."""

    def __getitem__(self, _: object) -> Array:
        return self

    def __truediv__(self, _: object) -> Array:
        return self


class Network:
    """Answers with whatever a test puts into ``result``."""

    def __init__(self) -> None:
        self.result: Any = SimpleNamespace(
            vertices=Array(),
            vertex_normals=Array(),
            faces=Array(),
            visual=SimpleNamespace(vertex_colors=Array()),
        )
        self.work: Callable[[], None] = lambda: None
        self.seen: list[Any] = []

    def __call__(self, pictures: list[Any], device: Any) -> Any:
        self.seen.append((pictures, device))
        return "scene"

    def extract_mesh(self, scene: Any, colored: bool, resolution: int) -> list[Any]:
        assert (scene, colored) == ("scene", True)
        self.seen.append(resolution)
        if isinstance(self.result, Exception):
            raise self.result
        self.work()
        return [self.result]


class FullError(Exception):
    """Too little memory."""


class Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules below it, which do nothing, and what they were told."""
    known = SimpleNamespace(network=Network(), loaded=[], asked=[], gpu=False, given_back=0)

    def module(name: str, **content: Any) -> None:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)

    def load(*arguments: Any) -> Network:
        known.loaded.append(arguments)
        if isinstance(known.network, Exception):
            raise known.network
        return known.network

    def download(name: str, **arguments: Any) -> str:
        known.asked.append((name, arguments))
        return "/cache/snapshot"

    def give_back() -> None:
        known.given_back += 1

    cuda = SimpleNamespace(is_available=lambda: known.gpu, empty_cache=give_back)
    module(
        "torch",
        cuda=cuda,
        device=lambda name: SimpleNamespace(type=name),
        inference_mode=Nothing,
    )
    module("PIL", Image=SimpleNamespace(Image=object))
    module("huggingface_hub", snapshot_download=download)
    module("torchmcubes", NoSurfaceError=NoSurfaceError)
    module("local_3d_picture", prepared=lambda content: ("prepared", content))
    module("local_3d_glb", written=lambda *_: b"glTF")
    module(
        "local_3d_network",
        CONFIG="config.yaml",
        WEIGHTS="model.ckpt",
        loaded=load,
        is_out_of_memory=lambda error: isinstance(error, FullError),
    )
    monkeypatch.delitem(sys.modules, "local_3d", raising=False)
    monkeypatch.syspath_prepend(str(APP))
    # Everything in that folder goes to the host.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("LOCAL_3D_MODEL", "LOCAL_3D_RESOLUTION", "LOCAL_3D_CHUNK"):
        monkeypatch.delenv(name, raising=False)
    yield known
    for name in OURS:
        sys.modules.pop(name, None)


@pytest.fixture
def local(stubs: SimpleNamespace) -> Any:
    return importlib.import_module("local_3d")


@pytest.fixture
def loaded(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOCAL_3D_MODEL", str(tmp_path))
    local.load()
    return local


def test_defaults_are_upstreams(loaded: Any, stubs: SimpleNamespace, tmp_path: Path):
    """256 points a side, 8192 of them at once, and the processor if there is no GPU."""
    folder, device, chunk = stubs.loaded[0]
    assert (folder, device.type, chunk) == (tmp_path, "cpu", 8192)
    assert loaded.make(b"picture", 7) == b"glTF"
    assert stubs.network.seen == [([("prepared", b"picture")], device), 256]
    assert (stubs.asked, stubs.given_back) == ([], 0)


def test_the_environment_decides(
    local: Any, stubs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Resolution, chunk, and the GPU if there is one: its unused memory is given back each time."""
    stubs.gpu = True
    for name, value in (("MODEL", tmp_path), ("RESOLUTION", 320), ("CHUNK", 1000)):
        monkeypatch.setenv(f"LOCAL_3D_{name}", str(value))
    local.load()
    assert stubs.loaded[0][1].type == "cuda"
    assert stubs.loaded[0][2] == 1000
    local.make(b"", 1)
    local.make(b"", 1)
    assert stubs.network.seen[1] == 320
    assert stubs.given_back == 2


@pytest.mark.parametrize("name", ["LOCAL_3D_RESOLUTION", "LOCAL_3D_CHUNK"])
@pytest.mark.parametrize("value", ["0", "31", "-1", "1e3", "many", "256.0", "²56", "99999999999"])
def test_wrong_numbers_are_refused(
    local: Any, stubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    """Before anything is loaded."""
    monkeypatch.setenv("LOCAL_3D_MODEL", "/")
    monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=f"{name} is '.*': set it to a number from .* to"):
        local.load()
    assert stubs.loaded == []


@pytest.mark.parametrize(
    ("name", "repository", "revision"),
    [
        ("stabilityai/TripoSR", "stabilityai/TripoSR", None),
        ("stabilityai/TripoSR@5b52193", "stabilityai/TripoSR", "5b52193"),
    ],
)
def test_a_name_on_hugging_face_is_downloaded(
    local: Any,
    stubs: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    repository: str,
    revision: str | None,
):
    """Of it, the two files that are used, in the wanted revision."""
    monkeypatch.setenv("LOCAL_3D_MODEL", name)
    local.load()
    files = ["config.yaml", "model.ckpt"]
    assert stubs.asked == [(repository, {"revision": revision, "allow_patterns": files})]
    assert stubs.loaded[0][0] == Path("/cache/snapshot")


def test_no_download_is_explained(local: Any, monkeypatch: pytest.MonkeyPatch):
    """Whatever the reason is: it names the setting."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(local, "snapshot_download", fail)
    monkeypatch.setenv("LOCAL_3D_MODEL", "a/b")
    with pytest.raises(RuntimeError, match=r"a/b cannot be downloaded .*\(OSError\): check"):
        local.load()


def test_a_folder_must_be_one(local: Any, stubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch):
    """A path is never a name on Hugging Face."""
    with pytest.raises(RuntimeError, match="LOCAL_3D_MODEL is empty: set it"):
        local.load()
    for wrong in ("/models/none", str(Path(__file__))):
        monkeypatch.setenv("LOCAL_3D_MODEL", wrong)
        with pytest.raises(RuntimeError, match=f"{wrong} is no folder: put TripoSR's model there"):
            local.load()
    assert stubs.asked == []


def test_it_must_be_loaded(local: Any):
    """Also after loading failed."""
    with pytest.raises(RuntimeError, match="TripoSR is not loaded"):
        local.make(b"", 1)


@pytest.mark.parametrize(("gpu", "place"), [(True, "The GPU"), (False, "The machine")])
def test_too_little_memory(loaded: Any, stubs: SimpleNamespace, gpu: bool, place: str):
    """It says where and what to set, gives back what it has, and the next picture works."""
    stubs.gpu = gpu
    loaded.load()
    works = stubs.network.result
    stubs.network.result = FullError()
    said = f"{place} has too little free memory for a model with LOCAL_3D_RESOLUTION=256: set it"
    with pytest.raises(RuntimeError, match=said):
        loaded.make(b"", 1)
    assert stubs.given_back == int(gpu)
    stubs.network.result = works
    assert loaded.make(b"", 1) == b"glTF"
    network, stubs.network = stubs.network, FullError()
    with pytest.raises(RuntimeError, match=f"{place} has too little free memory for TripoSR's"):
        loaded.load()
    assert stubs.given_back == 3 * int(gpu)
    stubs.network = network
    assert loaded.make(b"", 1) == b"glTF", "what was loaded before is still there"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (NoSurfaceError("no solid object"), ValueError, "^no solid object$"),
        (ValueError("of PyTorch"), RuntimeError, r"^TripoSR failed \(ValueError: of PyTorch\)\.$"),
        (KeyError("wrong"), RuntimeError, r"^TripoSR failed \(KeyError: 'wrong'\)\.$"),
    ],
)
def test_errors_are_the_pictures_or_the_programs(
    loaded: Any, stubs: SimpleNamespace, error: Exception, kind: type[Exception], said: str
):
    """The page shows them, and only the first is a wrong request."""
    stubs.network.result = error
    with pytest.raises(kind, match=said):
        loaded.make(b"", 1)


def test_a_wrong_picture_does_not_reach_the_network(
    loaded: Any, stubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    """Its sentence is passed on."""

    def refuse(_: bytes) -> None:
        raise ValueError("no picture")

    monkeypatch.setattr(loaded.local_3d_picture, "prepared", refuse)
    with pytest.raises(ValueError, match=r"^no picture$"):
        loaded.make(b"", 1)
    assert stubs.network.seen == []


def test_one_model_at_a_time(loaded: Any, stubs: SimpleNamespace):
    """Two would need twice the memory."""
    inside, most = 0, 0
    counting = threading.Lock()
    pause = threading.Event()

    def work() -> None:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        pause.wait(0.05)
        with counting:
            inside -= 1

    stubs.network.work = work
    threads = [threading.Thread(target=loaded.make, args=(b"", 1)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (most, len(stubs.network.seen)) == (1, 8)
