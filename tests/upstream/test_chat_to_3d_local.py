"""The backend ``local`` of chat-to-3d really computes, on the processor, with upstream's network in
small and random weights.

Run it in an environment with the packages of the image, or of its versions for processors:
docs/images.md.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import socket
import sys
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("skimage")
pytest.importorskip("omegaconf")

import numpy as np
import torch
import trimesh

from tests.upstream import triposr_weights
from tests.upstream.made_pictures import cup, file_of, photographed

APP = triposr_weights.ROOT / "templates/stacks/chat-to-3d/chat-to-3d-allinone"
EXABYTE = 1 << 60


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small TripoSR."""
    source = str(triposr_weights.source())
    sys.path[:0] = [str(APP)]
    sys.path.append(source)
    sys.modules["rembg"] = types.ModuleType("rembg")
    # Everything in these folders goes to the host.
    sys.dont_write_bytecode = True
    os.environ["TRIPOSR"] = source
    return triposr_weights.model(
        tmp_path_factory.mktemp("store") / "triposr",
        importlib.import_module("tsr.system"),
        importlib.import_module("tsr.models.tokenizers.image"),
    )


@pytest.fixture
def local(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, not loaded, without a connection to anything."""

    def refuse(*_: Any) -> None:
        raise AssertionError("it connects to something")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("LOCAL_3D_MODEL", str(weights))
    monkeypatch.setenv("LOCAL_3D_RESOLUTION", "48")
    module = importlib.import_module("local_3d")
    monkeypatch.setattr(module, "_model", None)
    return module


@pytest.fixture
def loaded(local: Any) -> Any:
    local.load()
    return local


def read(content: bytes) -> Any:
    """Return the surface in a GLB file, by a reader that is not ours."""
    scene = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    (mesh,) = scene.geometry.values()
    return mesh


def test_a_picture_becomes_a_model(loaded: Any):
    """A GLB file with colors and valid lengths, places and triangles. It connects to nothing."""
    content = loaded.make(file_of(photographed(cup())), 1)
    assert (content[:4], int.from_bytes(content[4:8], "little")) == (b"glTF", 2)
    assert int.from_bytes(content[8:12], "little") == len(content)
    mesh = read(content)
    assert len(mesh.faces) > 500
    assert mesh.faces.max() == len(mesh.vertices) - 1
    assert np.abs(mesh.vertices).max() <= 0.8701
    assert np.allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1, atol=1e-3)
    colors = mesh.visual.vertex_attributes["color"]
    assert len(np.unique(colors[:, :3], axis=0)) > 50
    assert set(colors[:, 3]) == {65535}
    assert mesh.visual.material.metallicFactor == 0


def test_the_picture_decides_and_the_seed_does_not(loaded: Any):
    """The same picture makes the same file."""
    first = loaded.make(file_of(cup()), 1)
    assert loaded.make(file_of(cup()), 2) == first
    assert loaded.make(file_of(cup().rotate(90)), 1) != first


def test_the_resolution_decides_how_fine_it_is(local: Any, monkeypatch: pytest.MonkeyPatch):
    """Twice as many points have about four times as many triangles. How many are computed at once
    changes nothing."""
    counts = []
    for resolution, chunk in ((32, 8192), (64, 8192), (64, 1000)):
        monkeypatch.setenv("LOCAL_3D_RESOLUTION", str(resolution))
        monkeypatch.setenv("LOCAL_3D_CHUNK", str(chunk))
        local.load()
        counts.append(len(read(local.make(file_of(cup()), 1)).faces))
    assert 3 < counts[1] / counts[0] < 5
    assert counts[1] == counts[2]


class Ball(torch.nn.Module):
    """Stands in for the decoder: a ball with a radius of 0.25 that is red to the right, green
    above, and blue to the front, in upstream's directions."""

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        x, y, z = features[:, 0], features[:, 1], features[:, 3]
        inside = 0.25 - torch.sqrt(x * x + y * y + z * z)
        # 25 on the surface, after upstream's exp(density - 1).
        density = (20 * inside).clamp(-20, 20) + 1 + np.log(25)
        return {"density": density[:, None], "features": torch.stack([y, z, x], 1) * 1000}


def directions() -> torch.Tensor:
    """Return planes of which upstream reads the place itself: x and y, x and z, y and z. Only at
    the limits it reads less, because it takes what is outside for zero."""
    line = (2 * torch.arange(64) + 1) / 64 - 1
    down, right = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([right, down]).expand(3, 2, 64, 64)[None]


def test_the_front_is_the_side_that_the_picture_shows(loaded: Any, monkeypatch: pytest.MonkeyPatch):
    """Upstream's own camera, at its first place, sees to the right, above and in front what glTF
    has at +X, +Y and +Z; the surface's outside is outside."""
    network = loaded._model.network
    monkeypatch.setattr(network, "decoder", Ball())
    monkeypatch.setattr(network, "forward", lambda *_: directions())
    (seen,) = network.render(directions(), 1, height=64, width=64, return_type="np")[0]
    assert seen[28, 36, 0] > 0.9 > 0.1 > seen[28, 28, 0], "red to the right"
    assert seen[28, 36, 1] > 0.9 > 0.1 > seen[36, 36, 1], "green above"
    assert seen[28, 36, 2] > 0.9, "blue in front"

    mesh = read(loaded.make(file_of(cup()), 1))
    colors = mesh.visual.vertex_attributes["color"][:, :3] > 32767
    # Away from the limits, where colors change.
    clear = np.abs(mesh.vertices) > 0.05
    assert (colors == (mesh.vertices > 0))[clear].all()
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * (0.25 * 0.87) ** 3, rel=0.1)
    outward = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1)[:, None]
    assert (np.sum(outward * mesh.vertex_normals, axis=1) > 0.95).all()


def test_colors_are_linear_in_the_file(weights: Path):
    """A viewer shows the picture's colors again."""
    written = importlib.import_module("local_3d_glb").written
    corners = np.eye(3)
    colors = np.array([[0.5, 0, 1], [0.02, 1, 0], [2, -1, 0]])
    content = written(corners, corners, colors, corners[:1])
    start = content.index(b"BIN\0") + 4 + 2 * corners.astype("f4").nbytes
    found = np.frombuffer(content, "<u2", 12, start).reshape(3, 4) / 65535
    assert found == pytest.approx(
        np.array([[0.2140, 0, 1, 1], [0.00155, 1, 0, 1], [1, 0, 0, 1]]), abs=1e-4
    )


def test_a_picture_of_nothing_solid_is_refused(loaded: Any, monkeypatch: pytest.MonkeyPatch):
    """By the network: it is the picture, not the program. The next one works."""
    layer = loaded._model.network.decoder.layers[-1]
    with torch.inference_mode(), monkeypatch.context() as patch:
        patch.setattr(layer.bias, "data", layer.bias - 1000)
        with pytest.raises(ValueError, match="no solid object"):
            loaded.make(file_of(cup()), 1)
    assert loaded.make(file_of(cup()), 1)[:4] == b"glTF"


def exhaust(*_: Any, **__: Any) -> None:
    """Ask PyTorch for memory that no machine has."""
    torch.empty(EXABYTE, dtype=torch.uint8)


def exhaust_gpu(*_: Any, **__: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")


@pytest.mark.parametrize("full", [exhaust, exhaust_gpu])
def test_too_little_memory_says_what_to_set(
    loaded: Any, monkeypatch: pytest.MonkeyPatch, full: Any
):
    """While it works, and while it loads. Afterwards it works."""
    with monkeypatch.context() as patch:
        patch.setattr(loaded._model.network, "extract_mesh", full)
        with pytest.raises(RuntimeError, match="with LOCAL_3D_RESOLUTION=48: set it lower") as said:
            loaded.make(file_of(cup()), 1)
        assert said.value.__context__ is None, "it would hold what is in the memory"
        patch.setattr(importlib.import_module("local_3d_network"), "_network", full)
        with pytest.raises(RuntimeError, match="too little free memory for TripoSR's weights"):
            loaded.load()
    assert loaded.make(file_of(cup()), 1)[:4] == b"glTF"


def test_other_failures_are_named(loaded: Any, monkeypatch: pytest.MonkeyPatch):
    """They are nobody's picture: no ValueError."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("of PyTorch")

    monkeypatch.setattr(loaded._model.network, "extract_mesh", fail)
    with pytest.raises(RuntimeError, match=r"TripoSR failed \(ValueError: of PyTorch\)"):
        loaded.make(file_of(cup()), 1)


class Evil:
    """What a file of weights must not do."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def changed(weights: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Copy a model; return its weights."""
    for name in ("config.yaml", "model.ckpt"):
        (folder / name).write_bytes((weights / name).read_bytes())
    values: dict[str, torch.Tensor] = torch.load(folder / "model.ckpt", weights_only=True)
    return values


def test_wrong_weights_are_named(
    local: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each with the file and what is wrong with it."""
    monkeypatch.setenv("LOCAL_3D_MODEL", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.ckpt"
    values = changed(weights, tmp_path)
    lacking = {name: value for name, value in values.items() if name != "decoder.layers.0.bias"}
    resized = {**values, "decoder.layers.0.bias": torch.zeros(3)}
    cases: list[tuple[Any, str]] = [
        ({"conv.weight": torch.zeros(1)}, "no image encoder"),
        ({"state_dict": values}, "no plain list of weights"),
        (lacking, "weights: 1 missing, 0 unknown, 0 of other sizes"),
        ({**values, "more": torch.zeros(1)}, "weights: 0 missing, 1 unknown, 0 of other sizes"),
        (resized, "weights: 0 missing, 0 unknown, 1 of other sizes"),
        (Evil(), "cannot be read"),
    ]
    for content, said in cases:
        torch.save(content, path)
        with pytest.raises(RuntimeError, match=f"{path} .*{said}.*: download TripoSR again, or"):
            local.load()
    assert not (tmp_path / "evil").exists()
    whole = (weights / "model.ckpt").read_bytes()
    for broken in (b"", b"text", whole[: len(whole) // 2], pickle.dumps(Evil())):
        path.write_bytes(broken)
        with pytest.raises(RuntimeError, match=f"{path} cannot be read"):
            local.load()


def test_a_wrong_configuration_is_named(
    local: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No text, lines that are missing, and classes that are not TripoSR's."""
    monkeypatch.setenv("LOCAL_3D_MODEL", str(tmp_path))
    changed(weights, tmp_path)
    path = tmp_path / "config.yaml"
    text = path.read_text()
    for wrong in (
        "",
        "- a list",
        "key: [",
        text.replace("cond_image_size", "size"),
        text.replace("tsr.models.network_utils.NeRFMLP", "subprocess.Popen"),
        text.replace("n_neurons: 16", "n_neurons: many"),
    ):
        path.write_text(wrong)
        with pytest.raises(RuntimeError, match=f"{path} does not describe TripoSR"):
            local.load()


def test_missing_files_are_named(
    local: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The folder, each of its two files, and the source."""
    monkeypatch.setenv("LOCAL_3D_MODEL", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match=f"{tmp_path}/none is no folder: put TripoSR's model"):
        local.load()
    for name in ("config.yaml", "model.ckpt"):
        changed(weights, tmp_path)
        (tmp_path / name).unlink()
        monkeypatch.setenv("LOCAL_3D_MODEL", str(tmp_path))
        with pytest.raises(RuntimeError, match=f"{tmp_path}/{name} is not there: download"):
            local.load()
    monkeypatch.setenv("LOCAL_3D_MODEL", str(weights))
    monkeypatch.setenv("TRIPOSR", str(tmp_path / "source"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "tsr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not Path(one, "tsr").is_dir()])
    with pytest.raises(RuntimeError, match=r"TripoSR's source in .*/source cannot be imported"):
        local.load()
