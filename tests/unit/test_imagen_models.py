"""What imagen's models decide without their networks: tiles, sizes, parameters and sentences."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "templates/stacks/imagen/models/code"))
# Everything in that folder goes to the host.
sys.dont_write_bytecode = True

from imagen_models import RefusalError, messages, weights  # noqa: E402
from imagen_models.configuration import Configuration  # noqa: E402
from imagen_models.sizes import work_size  # noqa: E402
from imagen_models.tiles import Span, fade, spans  # noqa: E402

LENGTHS = [1, 64, 65, 100, 128, 313, 1000]


def drawn(found: list[Span]) -> list[float]:
    """Return which tile is seen at each place of a side, drawn one over the other as pictures are:
    1.5 is halfway between tiles 1 and 2; -1 is what was there before."""
    line = [-1.0] * found[-1].end
    for index, one in enumerate(found):
        for place, visible in enumerate(fade(one.end - one.start, one.shared), one.start):
            share = visible / 255
            line[place] = line[place] * (1 - share) + index * share
    return line


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("edge", "overlap"), [(64, 16), (100, 25), (512, 64)])
def test_tiles_cover_the_side(length: int, edge: int, overlap: int):
    """Each begins in the one before it, none is larger than asked, and there are not too many."""
    found = spans(length, edge, overlap)
    assert (found[0].start, found[0].shared, found[-1].end) == (0, 0, length)
    assert max(one.end - one.start for one in found) <= edge
    for before, after in itertools.pairwise(found):
        assert after.shared == before.end - after.start >= overlap
    assert len(found) == 1 or length > (len(found) - 1) * (edge - overlap) + overlap


def test_a_picture_of_one_tile_fades_nowhere():
    """It is the picture."""
    assert spans(50, 64, 16) == [Span(0, 50, 0)]
    assert fade(50, 0) == bytes([255] * 50)


@pytest.mark.parametrize("length", LENGTHS)
def test_no_seam_shows(length: int):
    """Along a side, one tile becomes the next in small steps, and what was below is never seen."""
    found = spans(length, 64, 16)
    line = drawn(found)
    steps = [after - before for before, after in itertools.pairwise(line)] or [0]
    assert (line[0], line[-1]) == (0, len(found) - 1)
    # A seam would be a step of 1; the ramp of the smallest overlap has 5.
    assert -0.01 < min(steps) <= max(steps) < 0.21


def test_the_edge_of_a_tile_is_never_seen():
    """There, a network knows too little of what is beside it."""
    found = spans(200, 64, 16)
    line = drawn(found)
    for index, one in enumerate(found[1:], 1):
        hidden = one.shared * 3 // 8
        assert max(line[one.start : one.start + hidden]) <= index - 1, "the later tile's"
        end = one.start + one.shared
        assert min(line[end - hidden : end]) >= index, "the earlier tile's"


def test_fading_keeps_its_length_when_enlarged():
    """The picture is four times as large after the network."""
    assert len(fade(256, 64)) == 256
    assert fade(256, 64)[:24] == bytes(24)
    assert set(fade(256, 64)[40:]) == {255}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((641, 483), (640, 480)),
        ((256, 256), (512, 512)),
        ((1, 1), (512, 512)),
        ((4000, 3000), (888, 664)),
        ((2000, 400), (1720, 344)),
    ],
)
def test_the_size_to_work_at(size: tuple[int, int], expected: tuple[int, int]):
    """The picture's own in multiples of 8, unless it is too small or too large for the model."""
    assert work_size(*size, 512 * 512, 768 * 768) == expected


def test_a_picture_too_long_is_refused():
    """It would not fit into memory, or have no height."""
    with pytest.raises(RefusalError, match="20000 x 1 pixels is too long and narrow"):
        work_size(20_000, 1, 512 * 512, 768 * 768)


def configuration(**parameters: Any) -> Configuration:
    """Return what Triton would tell the model ``upscale``."""
    given = {key: {"string_value": value} for key, value in parameters.items()}
    groups = [{"count": 2, "kind": "KIND_CPU"}]
    text = {"name": "upscale", "parameters": given, "instance_group": groups}
    return Configuration(json.dumps(text))


def test_parameters_come_from_the_configuration():
    """As Triton has them: texts in an object."""
    known = configuration(tile="512")
    assert (known.name, known.instances, known.number("tile")) == ("upscale", 2, 512)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "many", "99999999999"])
def test_a_parameter_that_is_no_number_is_named(value: str):
    """With the file where it is."""
    with pytest.raises(RefusalError, match=r"The parameter tile in upscale/config.pbtxt is"):
        configuration(tile=value).number("tile")
    with pytest.raises(RefusalError, match="'missing'"):
        configuration().number("steps")


@pytest.mark.parametrize("name", ["upscale", "enhance", "style_comic"])
def test_missing_weights_name_path_and_setting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whatever is missing: the variable, the file, or what a folder should contain."""
    setting = f"{name}_model"
    find = weights.file if name == "upscale" else weights.folder
    monkeypatch.delenv(setting.upper(), raising=False)
    with pytest.raises(RefusalError, match=f"{setting.upper()} is empty: .*correct {setting} in"):
        find(name)
    monkeypatch.setenv(setting.upper(), str(tmp_path / "model"))
    with pytest.raises(
        RefusalError, match=f"{tmp_path}/model is not there: .*correct {setting} in"
    ):
        find(name)
    (tmp_path / "model").mkdir()
    with pytest.raises(RefusalError, match=f"{tmp_path}/model (is a folder without|has no) "):
        find(name)


def test_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file, a file in a folder, and a folder in the form of diffusers."""
    for variable in ("UPSCALE_MODEL", "ENHANCE_MODEL"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "model_index.json").touch()
    assert weights.file("upscale", "model.safetensors") == tmp_path / "model.safetensors"
    assert weights.folder("enhance") == tmp_path
    monkeypatch.setenv("UPSCALE_MODEL", str(tmp_path / "model.safetensors"))
    assert weights.file("upscale") == tmp_path / "model.safetensors"
    monkeypatch.setenv("ENHANCE_MODEL", str(tmp_path / "model.safetensors"))
    with pytest.raises(RefusalError, match="is no folder"):
        weights.folder("enhance")


def test_the_variable_is_the_setting_in_capitals():
    """For all five models."""
    assert weights.variable("background_remove") == "BACKGROUND_REMOVE_MODEL"


def test_what_to_set_when_memory_is_short():
    """Only settings that the model has, and that can be lower."""
    said = messages.out_of_memory("upscale", True, 2, [("tile", 512)])
    assert said.startswith("upscale ran out of GPU memory: in group_data/imagen.py, set tile")
    assert "(now 512) lower, or set instances (now 2) lower, or leave models out of parts" in said
    said = messages.out_of_memory("enhance", False, 1, [])
    assert said == (
        "enhance ran out of memory: in group_data/imagen.py, leave models out of parts."
    )


def test_sentences_name_sizes_and_limits():
    """So that a person knows what to send instead."""
    assert "9 bytes are no picture" in messages.no_picture(9)
    assert "0 bytes" in messages.no_picture(0)
    assert "5000 x 4000 pixels, more than the 16000000" in messages.too_large(
        5000, 4000, 16_000_000
    )
    assert "16000 x 16000 pixels" in messages.result_too_large(16_000, 16_000, 178_956_970)


def test_an_unexpected_error_is_one_line():
    """Of limited length, in the middle of the sentence."""
    said = messages.unloadable("/models/store/x.pth", "upscale_model", ValueError("a\n  b" * 200))
    assert "/models/store/x.pth cannot be loaded (ValueError: a ba b" in said
    assert "\n" not in said
    assert len(said) < 600
    assert messages.failure(KeyError()) == "KeyError"
