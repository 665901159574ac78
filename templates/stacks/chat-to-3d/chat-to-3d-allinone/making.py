"""Corrects how upstream makes pictures and 3D objects, and what it says of them."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from corrections import corrects, present
from names import clean
from options import TRELLIS, Options, one_line, split_revision
from troubles import tell

_AGAIN = 600.0
"""Seconds until the model that checks prompts is tried again."""
FILTERED = "CONTENT_FILTERED"
"""What upstream's services say of something that they refuse."""


def _missing(setting: str, model: str) -> str:
    """Return a sentence if a model is a folder that does not exist."""
    if model.startswith("/") and not Path(model).is_dir():
        return f"{setting} {model} does not exist: put the model there (docs/chat-to-3d.md)."
    return ""


class _Torch:
    """The module torch for a machine without a GPU: what asks for CUDA gets the processor."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def Generator(self, *_: Any, **__: Any) -> Any:  # noqa: N802 (the package's name)
        return self._torch.Generator("cpu")


@corrects("models", "no-gpu", "picture-reasons", "names")
def correct_pictures(given: Options) -> None:
    """Set the model for pictures and the device, and say what fails."""
    from services import image_generation_service as module

    name, revision = split_revision(given.image_model)
    kind = module.ImageGenerationService
    if present("models", module, "SanaSprintPipeline"):
        module.SanaSprintPipeline = _Loader(module.SanaSprintPipeline, name, revision)
    if present("no-gpu", module, "torch") and not module.torch.cuda.is_available():
        module.torch = _Torch(module.torch)
        if present("no-gpu", kind, "move_sana_pipeline_to_device"):
            kind.move_sana_pipeline_to_device = _on_processor(kind.move_sana_pipeline_to_device)
    if present("names", kind, "generate_image_from_prompt"):
        kind.generate_image_from_prompt = _one(kind.generate_image_from_prompt)
    if present("picture-reasons", kind, "generate_images_for_objects"):
        kind.generate_images_for_objects = _all(kind.generate_images_for_objects)


class _Loader:
    """Loads the picture model that is set, and says why it cannot; upstream hides the reason."""

    def __init__(self, pipeline: Any, name: str, revision: str | None) -> None:
        self._pipeline = pipeline
        self._name = name
        self._options = {"revision": revision} if revision else {}

    def from_pretrained(self, _: str, **options: Any) -> Any:
        if why := _missing("IMAGE_MODEL", self._name):
            tell(why)
            raise OSError(why)
        try:
            return self._pipeline.from_pretrained(self._name, **options, **self._options)
        except Exception as error:
            kind = type(error).__name__
            tell(f"IMAGE_MODEL {self._name} cannot be loaded: {kind}: {one_line(error)}.")
            raise


def _on_processor(original: Any) -> Any:
    @functools.wraps(original)
    def move(self: Any, device: str = "cpu") -> Any:
        return original(self, "cpu")

    return move


def _one(original: Any) -> Any:
    @functools.wraps(original)
    def generate(self: Any, object_name: str, *arguments: Any, **options: Any) -> Any:
        made = original(self, clean(object_name), *arguments, **options)
        success, message, _ = made
        # In a batch, the first one speaks for all.
        if not success and "FILTERED" not in message and not getattr(self, "in_batch", False):
            tell(f"There is no picture of {object_name}: {one_line(message)}.")
        return made

    return generate


def _all(original: Any) -> Any:
    @functools.wraps(original)
    def generate(self: Any, objects: list[dict[str, Any]], *arguments: Any, **options: Any) -> Any:
        self.in_batch = True
        try:
            made = original(self, objects, *arguments, **options)
        finally:
            self.in_batch = False
        success, message, _ = made
        if not success:
            # Otherwise "→ 3D" can be clicked, and waits for a picture for ever.
            for one in objects:
                one.update(image_generation_failed=True, image_generation_error=message)
        failed = [one for one in objects if one.get("image_generation_failed")]
        if failed:
            why = one_line(failed[0].get("image_generation_error") or message)
            tell(f"{len(failed)} of {len(objects)} pictures failed: {why}.")
        return made

    return generate


@corrects("models", "guard")
def correct_guard(given: Options) -> None:
    """Set the model that checks prompts, and say if it does not."""
    from services import guardrail_service as module

    if not present("guard", module, "pipeline", "GuardrailService"):
        return
    module.pipeline = _Guard(module.pipeline, given.guard_model)


class _Guard:
    """Loads the model that checks prompts; one that cannot be loaded is told, and left for a while,
    in which upstream lets all prompts pass."""

    def __init__(self, pipeline: Any, model: str) -> None:
        self._pipeline = pipeline
        self._model = model
        self._failed, self._why = float("-inf"), ""

    def __call__(self, task: str, **options: Any) -> Any:
        if time.monotonic() - self._failed < _AGAIN:
            raise RuntimeError(self._why)
        name, revision = split_revision(self._model)
        given = {**options, "model": name, **({"revision": revision} if revision else {})}
        self._why = _missing("GUARD_MODEL", name)
        try:
            if self._why:
                raise OSError(self._why)
            return self._pipeline(task, **given)
        except Exception as error:
            self._why = self._why or f"GUARD_MODEL {name} cannot be loaded: {one_line(error)}."
            self._failed = time.monotonic()
            tell(f"Prompts are not checked: {self._why}")
            raise


@corrects("services", "timeout-3d", "3d-reasons", "3d-of-refused", "half-files")
def correct_3d(given: Options) -> None:
    """Set address and time of the 3D service, and say what fails."""
    from services import model_3d_service as module

    kind = module.Model3DService
    # The service itself gives its server that long, and says so.
    seconds = given.timeout_3d + 20
    original = kind.__init__

    @functools.wraps(original)
    def start(self: Any, *_: Any, **__: Any) -> None:
        original(self, given.address(TRELLIS))
        self.timeout = seconds

    kind.__init__ = start
    if present("half-files", kind, "save_glb_file"):
        kind.save_glb_file = _complete(kind.save_glb_file)
    if present("3d-reasons", kind, "generate_3d_model"):
        kind.generate_3d_model = _told(kind.generate_3d_model, seconds)


def _complete(original: Any) -> Any:
    """Writes into a folder beside its target; upstream returns None if a write fails."""

    @functools.wraps(original)
    def save(self: Any, data: bytes, image: str, output_dir: Any) -> str | None:
        folder = Path(output_dir)
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
                made = original(self, data, image, part)
                return str(Path(made).replace(folder / Path(made).name)) if made else None
        except OSError as error:
            print(f"{folder} cannot be written: {error}", flush=True)
            return None

    return save


def reason(message: str, seconds: float, free: int) -> str:
    """Return a sentence for what upstream says of an object that failed.

    + seconds: time that it had
    + free: bytes that are left where it is saved
    """
    answered = re.match(r"API request failed: \d+ - (.*)", message, re.DOTALL)
    if answered:
        try:
            return one_line(json.loads(answered[1])["detail"]) + "."
        except (ValueError, KeyError, TypeError):
            return one_line(message) + "."
    if message.startswith("Request timed out"):
        return f"It took longer than {seconds:.0f} s (TIMEOUT_3D)."
    if message.startswith("Cannot connect"):
        return "The 3D service does not answer; it is started again by itself: try again."
    if message.startswith("Failed to save"):
        return f"It could not be saved, and {free // 1_000_000} MB are free."
    return one_line(message) + "."


def _told(original: Any, seconds: float) -> Any:
    @functools.wraps(original)
    def generate(self: Any, image_path: Any, *arguments: Any, **options: Any) -> Any:
        if not image_path:
            return False, "There is no picture", None
        if str(image_path).endswith(".svg"):
            return False, FILTERED, None
        import config

        made = original(self, image_path, *arguments, **options)
        success, message, _ = made
        if not success and message != FILTERED:
            free = shutil.disk_usage(config.MODELS_DIR).free
            # Its file is name, seed, day and time, put together by "_".
            name = Path(image_path).stem.rsplit("_", 3)[0].replace("_", " ")
            tell(f"No 3D of {name}: {reason(message, seconds, free)}")
        return made

    return generate
