"""What Triton calls: loads a model, and answers requests with a picture or a sentence."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # Triton's own, known only in its process
from PIL import Image

from imagen_models import Inputs, RefusalError, devices, messages, pictures, weights
from imagen_models.configuration import Configuration

Work = Callable[[Image.Image, Inputs], Image.Image]


class Served:
    """The base of each ``TritonPythonModel``.

    ``network`` loads the weights: it gets the configuration and the device, and returns what makes
    one picture of another. ``numbers`` and ``texts`` name optional tensors. ``smaller`` names
    parameters that take less memory with a smaller value.
    """

    network: ClassVar[Callable[[Configuration, torch.device], Work]]
    numbers: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = ()
    smaller: ClassVar[tuple[str, ...]] = ()

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model. Raises TritonModelException with one sentence; Triton shows it in its log
        and in the model's state (``POST /v2/repository/index``)."""
        self._configuration = Configuration(args["model_config"])
        name = self._configuration.name
        try:
            self._most = self._configuration.number("max_pixels")
            self._device = devices.chosen(name, args)
            self._work = type(self).network(self._configuration, self._device)
        except RefusalError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise pb_utils.TritonModelException(self._out_of_memory()) from None
            _log(error)
            setting = weights.variable(name).lower()
            said = messages.unloadable(str(weights.path(name)), setting, error)
            raise pb_utils.TritonModelException(said) from None
        finally:
            if hasattr(self, "_device"):
                devices.release(self._device)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return an answer for each request: the picture, or an error with one sentence."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Drop the model."""
        self.__dict__.pop("_work", None)
        devices.release(self._device)

    def _answer(self, request: Any) -> Any:
        try:
            picture = pictures.read(_tensor(request, "IMAGE").tobytes(), self._most)
            with torch.inference_mode():
                result = pictures.written(self._work(picture, self._inputs(request)))
        except RefusalError as error:
            wrong = pb_utils.TritonError.INVALID_ARG if error.theirs else None
            return _refused(str(error), wrong)
        except Exception as error:
            if devices.is_out_of_memory(error):
                return _refused(self._out_of_memory(), pb_utils.TritonError.UNAVAILABLE)
            _log(error)
            said = (
                f"{self._configuration.name} failed ({messages.failure(error)}): see Triton's log."
            )
            return _refused(said, None)
        finally:
            devices.release(self._device)
        tensor = pb_utils.Tensor("OUTPUT_IMAGE", np.frombuffer(result, dtype=np.uint8))
        return pb_utils.InferenceResponse(output_tensors=[tensor])

    def _inputs(self, request: Any) -> dict[str, float | str]:
        """Return the optional tensors that a request has. Raises RefusalError."""
        given: dict[str, float | str] = {}
        for name in self.numbers:
            if (values := _tensor(request, name)) is not None:
                given[name] = float(values.flat[0])
        for name in self.texts:
            if (values := _tensor(request, name)) is not None:
                try:
                    given[name] = values.flat[0].decode()
                except UnicodeDecodeError:
                    raise RefusalError(f"{name} is not UTF-8.", theirs=True) from None
        return given

    def _out_of_memory(self) -> str:
        known = self._configuration
        return messages.out_of_memory(
            known.name,
            self._device.type == "cuda",
            known.instances,
            [(key, known.number(key)) for key in self.smaller],
        )


def _tensor(request: Any, name: str) -> Any:
    """Return the values of a request's tensor; None if the request has none of that name."""
    found = pb_utils.get_input_tensor_by_name(request, name)
    return None if found is None else found.as_numpy()


def _refused(sentence: str, code: int | None) -> Any:
    error = pb_utils.TritonError(sentence) if code is None else pb_utils.TritonError(sentence, code)
    return pb_utils.InferenceResponse(output_tensors=[], error=error)


def _log(error: BaseException) -> None:
    """Write an unexpected error with its trace to Triton's log."""
    traceback.print_exception(error, file=sys.stderr)
