"""Calls of Triton with one picture, as the bytes of a PNG. They have no time limit and no trace."""

import io
import os
from functools import lru_cache

import numpy
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from src.core.logging import logger


class TritonClient:
    def __init__(self, url=None, verbose=False):
        self.url = url or os.environ.get("TRITON_URL") or "triton:8001"
        self._client = None

    @property
    def client(self):
        self._client = self._client or InferenceServerClient(self.url)
        return self._client

    def is_model_ready(self, model_name):
        try:
            return self.client.is_model_ready(model_name)
        except InferenceServerException as error:
            logger.warning("%s: %s", model_name, error)
            return False

    def _ask(self, model, image, **values):
        content = numpy.frombuffer(self._image_to_bytes(image), numpy.uint8)
        tensors = {"IMAGE": ("UINT8", content)}
        for name, value in values.items():
            if isinstance(value, str):
                tensors[name] = ("BYTES", numpy.array([value.encode()], object))
            elif value is not None:
                tensors[name] = ("FP32", numpy.array([value], numpy.float32))
        inputs = []
        for name, (kind, array) in tensors.items():
            inputs.append(InferInput(name, list(array.shape), kind))
            inputs[-1].set_data_from_numpy(array)
        wanted = [InferRequestedOutput("OUTPUT_IMAGE")]
        answer = self.client.infer(model_name=model, inputs=inputs, outputs=wanted)
        return self._bytes_to_image(answer.as_numpy("OUTPUT_IMAGE").tobytes())

    def _image_to_bytes(self, image, format="PNG"):  # noqa: A002 (its name for callers)
        content = io.BytesIO()
        image.save(content, format=format)
        return content.getvalue()

    def _bytes_to_image(self, data):
        return Image.open(io.BytesIO(data))

    def upscale(self, image, scale=4.0):
        return self._ask("upscale", image, SCALE=scale)

    def enhance(self, image, prompt=None, strength=0.3):
        return self._ask("enhance", image, PROMPT=prompt or None, STRENGTH=strength)

    def remove_background(self, image):
        return self._ask("background_remove", image)

    def style_comic(self, image):
        return self._ask("style_comic", image)

    def style_aged(self, image):
        return self._ask("style_aged", image)


@lru_cache
def get_triton_client():
    return TritonClient()
