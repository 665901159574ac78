"""Imagen's five models really compute, on the processor, with small networks of random numbers: in
this process, and in the real Triton.

Run them in an environment with the packages of the image, or of its versions for processors:
docs/images.md.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("spandrel")

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.fixtures.imagen_triton import MODELS, NAMES, SETTINGS, Triton, lay_down, running
from tests.upstream.imagen_weights import all_five

# Models that fail in every way; PyTorch really refuses to reserve an exabyte.
FAILING = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "code"))

import torch
from imagen_models.serving import Served


def load(configuration, device):
    if configuration.name == "enhance":
        raise ValueError("bad magic number")
    if configuration.name == "style_aged":
        torch.empty(1 << 60, dtype=torch.uint8)
    return work


def work(picture, inputs):
    if picture.width == 1:
        torch.empty(1 << 60, dtype=torch.uint8)
    if picture.width == 2:
        raise KeyError("wrong key")
    return picture


class TritonPythonModel(Served):
    network = load
    smaller = ("steps",) if "style_aged" in __file__ else ("tile",)
"""

FLAGS = (
    "--model-control-mode=explicit",
    "--model-load-thread-count=1",
    "--exit-on-error=false",
    "--strict-readiness=true",
)
PYTHON = Path(sys.executable).parent / "python3"
Work = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Weights of all models, by the variables that name them."""
    return all_five(tmp_path_factory.mktemp("store"))


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch, store: dict[str, str]) -> None:
    """What a model finds in Triton's process: its variables, and the backend's module, which is not
    called here."""
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", types.ModuleType("backend"))
    monkeypatch.syspath_prepend(str(MODELS / "code"))
    # Everything in that folder goes to the host.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def configuration(name: str, **changed: int) -> Any:
    """Return what Triton tells a model about itself."""
    numbers = {**SETTINGS, **changed}.items()
    parameters = {key: {"string_value": str(value)} for key, value in numbers}
    known = importlib.import_module("imagen_models.configuration")
    return known.Configuration(json.dumps({"name": name, "parameters": parameters}))


def loaded(name: str, **changed: int) -> Work:
    """Return the network of a model, as its own model.py loads it."""
    path = MODELS / "repository" / name / "1/model.py"
    space: dict[str, Any] = {"__file__": str(path), "__name__": name}
    exec(compile(path.read_text(), path, "exec"), space)
    work: Work = space["TritonPythonModel"].network(
        configuration(name, **changed), torch.device("cpu")
    )

    def without_gradients(*arguments: Any) -> Image.Image:
        with torch.inference_mode():
            return work(*arguments)

    return without_gradients


def photograph(width: int, height: int) -> Image.Image:
    """Return a picture with soft and hard parts."""
    y, x = np.mgrid[0:height, 0:width]
    red = 127 + 120 * np.sin(x / 9) * np.cos(y / 13)
    green = (x * 255) // width
    blue = np.where((x // 16 + y // 16) % 2, 200, 40)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def file_of(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def difference(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference of a color, out of 255."""
    values = [np.asarray(picture, np.int16) for picture in (one, other)]
    return int(np.abs(values[0] - values[1]).max())


def test_upscale_makes_a_picture_four_times_as_large():
    """Or as many times as asked, which may be fewer."""
    work, picture = loaded("upscale"), photograph(50, 40)
    result = work(picture, {})
    assert (result.size, result.mode) == ((200, 160), "RGB")
    assert work(picture, {"SCALE": 1.5}).size == (75, 60)
    assert len(np.unique(np.asarray(result))) > 100, "it is a picture"


def test_upscale_shows_no_seams():
    """In tiles, a picture is what it is in one piece, also where four of them meet; in pieces that
    know nothing of each other, it is not."""
    picture = photograph(224, 224)
    whole, parts = (loaded("upscale", tile=edge)(picture, {}) for edge in (256, 128))
    assert whole.size == parts.size
    assert difference(whole, parts) <= 2
    corner = loaded("upscale")(picture.crop((0, 0, 112, 112)), {})
    assert difference(whole.crop((0, 0, 448, 448)), corner) > 20


def test_upscale_keeps_transparency():
    """What background_remove made can be enlarged."""
    picture = photograph(40, 40)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    result = loaded("upscale")(picture, {})
    assert (result.mode, result.size) == ("RGBA", (160, 160))
    assert result.getchannel("A").getextrema() != (255, 255)


@pytest.mark.parametrize(("scale", "said"), [(0.5, "SCALE is 0.5"), (8, "enlarges 1 to 4 times")])
def test_upscale_refuses_what_it_cannot(scale: float, said: str):
    """With the numbers that it can."""
    with pytest.raises(Exception, match=said):
        loaded("upscale")(photograph(9, 9), {"SCALE": scale})


def test_upscale_refuses_a_result_that_workers_cannot_open():
    """Before it computes it."""
    with pytest.raises(Exception, match="The result would have 16000 x 16000 pixels"):
        loaded("upscale")(Image.new("RGB", (4000, 4000)), {})


def test_background_remove_makes_a_picture_transparent():
    """Of the same size and colors; how transparent differs from place to place."""
    picture = photograph(300, 200)
    result = loaded("background_remove")(picture, {})
    assert (result.mode, result.size) == ("RGBA", picture.size)
    assert difference(result.convert("RGB"), picture) == 0
    least, most = result.getchannel("A").getextrema()
    assert least < most


def test_background_remove_names_weights_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Such as those of another network."""
    other = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(1)}, other)
    monkeypatch.setenv("BACKGROUND_REMOVE_MODEL", str(other))
    with pytest.raises(Exception, match=f"{other} does not fit the pinned BiRefNet"):
        loaded("background_remove")


@pytest.mark.parametrize("name", ["enhance", "style_comic", "style_aged"])
@pytest.mark.parametrize("size", [(64, 64), (301, 203)])
def test_a_diffusion_model_makes_another_picture(name: str, size: tuple[int, int]):
    """Of the same size, and always the same one of the same picture."""
    work, picture = loaded(name), photograph(*size)
    result = work(picture, {})
    assert (result.mode, result.size) == ("RGB", picture.size)
    assert difference(result, picture) > 20
    assert difference(work(picture, {}), result) <= 1


def test_enhance_follows_prompt_and_strength():
    """Within the limits that a pipeline has."""
    work, picture = loaded("enhance"), photograph(64, 64)
    weak, strong = (work(picture, {"STRENGTH": value}) for value in (0.1, 1.0))
    assert difference(weak, strong) > 20
    assert difference(work(picture, {"PROMPT": "snow"}), work(picture, {"PROMPT": "fire"})) > 0
    for wrong in (0.0, 1.1):
        with pytest.raises(Exception, match=f"STRENGTH is {wrong:g}"):
            work(picture, {"STRENGTH": wrong})


def test_enhance_works_on_large_pictures_in_tiles():
    """One of two tiles keeps its size."""
    picture = photograph(1500, 500)
    assert loaded("enhance")(picture, {}).size == picture.size


def test_what_is_no_picture():
    """Is refused with its size, also if it begins like one."""
    pictures = importlib.import_module("imagen_models.pictures")
    whole = file_of(photograph(64, 64))
    for content in (b"", b"text", whole[: len(whole) // 2], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(Exception, match=f"{len(content)} bytes"):
            pictures.read(content, 10_000)
    with pytest.raises(Exception, match="64 x 64 pixels, more than the 4000 of"):
        pictures.read(whole, 4000)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_picture_is_read(mode: str):
    """As colors, with transparency if it has some."""
    pictures = importlib.import_module("imagen_models.pictures")
    made = Image.new("I;16", (9, 9), 40_000) if mode == "I;16" else photograph(9, 9).convert(mode)
    read = pictures.read(file_of(made), 10_000)
    assert read.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")
    assert pictures.opaque(read).mode == "RGB"
    if mode == "I;16":
        assert read.getpixel((0, 0)) == (156, 156, 156)


@pytest.fixture(scope="module")
def triton(
    store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Triton, Path]]:
    """The real Triton with the real models, of which style_aged has no weights."""
    repository = lay_down(tmp_path_factory.mktemp("models"))
    gone = str(repository / "gone")
    load = [f"--load-model={name}" for name in NAMES]
    variables = {**store, "STYLE_AGED_MODEL": gone, "HF_HUB_OFFLINE": "1"}
    with running(repository, PYTHON, *FLAGS, *load, environment=variables) as server:
        yield server, Path(gone)


def test_in_triton_each_model_answers(triton: tuple[Triton, Path]):
    """With a picture of the expected size and kind."""
    server = triton[0]
    picture = photograph(70, 60)
    expected = {
        "upscale": ("RGB", (140, 120), {"SCALE": 2.0}),
        "enhance": ("RGB", (70, 60), {"PROMPT": "a bird, größer", "STRENGTH": 0.5}),
        "style_comic": ("RGB", (70, 60), {}),
        "background_remove": ("RGBA", (70, 60), {}),
    }
    for name, (mode, size, optional) in expected.items():
        status, result = server.infer(name, file_of(picture), **optional)
        assert status == 200, (name, result)
        assert isinstance(result, bytes)
        made = Image.open(io.BytesIO(result))
        assert (made.format, made.mode, made.size) == ("PNG", mode, size), name


def test_in_triton_a_wrong_picture_is_an_error(triton: tuple[Triton, Path]):
    """One sentence with the status of a wrong request; the model goes on."""
    server = triton[0]
    status, said = server.infer("upscale", b"no picture")
    assert (status, said) == (
        400,
        "These 10 bytes are no picture that can be read: send a PNG, JPEG or WebP file.",
    )
    large = file_of(Image.new("RGB", (400, 300)))
    status, said = server.infer("background_remove", large)
    assert status == 400
    assert "400 x 300 pixels, more than the 100000 of the setting max_pixels" in str(said)
    assert server.infer("upscale", file_of(photograph(8, 8)))[0] == 200


def test_in_triton_missing_weights_are_named(triton: tuple[Triton, Path]):
    """In the model's state and in the log; Triton is not ready."""
    server, gone = triton
    assert server.ask("v2/health/ready")[0] == 400
    reason = server.states()["style_aged"]["reason"]
    assert f"{gone} is not there: " in reason
    assert "correct style_aged_model in group_data/imagen.py" in reason
    assert f"{gone} is not there: " in server.log.read_text()


def test_in_triton_errors_say_what_to_change(store: dict[str, str], tmp_path: Path):
    """Too little memory: what to set; anything else: what it was, and that the log has more."""
    load = [f"--load-model={name}" for name in ("upscale", "enhance", "style_aged")]
    repository = lay_down(tmp_path, FAILING)
    with running(repository, PYTHON, *FLAGS, *load, environment=store) as server:
        said = {
            width: server.infer("upscale", file_of(Image.new("RGB", (width, 9))))
            for width in (1, 2, 3)
        }
        reasons = {name: one.get("reason", "") for name, one in server.states().items()}
    memory = "{} ran out of memory: in group_data/imagen.py, set {} lower, or leave models out"
    assert said[1][0] == 503
    assert memory.format("upscale", "tile (now 64)") in str(said[1][1])
    assert said[2] == (500, "upscale failed (KeyError: 'wrong key'): see Triton's log.")
    assert said[3][0] == 200, "it goes on"
    assert memory.format("style_aged", "steps (now 2)") in reasons["style_aged"]
    weights = store["ENHANCE_MODEL"]
    assert f"{weights} cannot be loaded (ValueError: bad magic number): " in reasons["enhance"]
    assert "in work\n" in server.log.read_text()


def test_a_gpu_without_memory_is_recognized():
    """By PyTorch's own class for it, and by nothing else."""
    devices = importlib.import_module("imagen_models.devices")
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to ..."))
    assert not devices.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_a_gpu_that_pytorch_does_not_find_is_named():
    """Instead of working on the processor for minutes."""
    if torch.cuda.is_available():
        pytest.skip("PyTorch finds a GPU")
    devices = importlib.import_module("imagen_models.devices")
    args = {"model_instance_kind": "GPU", "model_instance_device_id": "0"}
    with pytest.raises(Exception, match="Triton assigns a GPU to enhance, but PyTorch finds none"):
        devices.chosen("enhance", args)
