"""A server with the part of Triton's gRPC that imagen's workers call; it inverts pictures.

``python imagen_triton.py PORT FOLDER`` runs in the environment of the image's lock. A file ``slow``
in the folder says how many seconds a picture takes.
"""

from __future__ import annotations

import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from PIL import Image, ImageOps
from tritonclient.grpc import service_pb2, service_pb2_grpc


class Models(service_pb2_grpc.GRPCInferenceServiceServicer):
    """All models are ready."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        slow = self._folder / "slow"
        if slow.exists():
            time.sleep(float(slow.read_text()))
        image = Image.open(io.BytesIO(request.raw_input_contents[0])).convert("RGB")
        if request.model_name == "upscale":
            image = image.resize((image.width * 4, image.height * 4))
        buffer = io.BytesIO()
        ImageOps.invert(image).save(buffer, format="PNG")
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="OUTPUT_IMAGE", datatype="UINT8", shape=[buffer.tell()])
        answer.raw_output_contents.append(buffer.getvalue())
        return answer


def main() -> None:
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=unlimited)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Models(Path(sys.argv[2])), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
