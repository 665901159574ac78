"""Prints what the source in the current folder does as it is, as JSON; run by
test_chat_to_3d_source.py with the lab's stand-ins for torch, diffusers and transformers.

With the argument ``events``: each event of the page, with its trigger, inputs and outputs.
"""

import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, os.getcwd())
sys.stdout, out = sys.stderr, sys.stdout

import app  # noqa: E402

import config  # noqa: E402

left = Path(config.GENERATED_IMAGES_DIR, "left.png")
left.parent.mkdir(parents=True, exist_ok=True)
left.touch()
demo = app.create_app()


def events():
    """Return each event of the page, in order."""
    endpoints = demo.get_api_info()["named_endpoints"]
    return [
        [
            one["api_name"],
            [target[1] for target in one["targets"]],
            one["trigger_after"],
            len(one["inputs"]),
            len(one["outputs"]),
            [part["parameter_name"] for part in endpoints[f"/{one['api_name']}"]["parameters"]],
        ]
        for one in demo.get_config_file()["dependencies"]
    ]


def handed_out():
    """Return what the port of the process id says."""
    with socket.create_connection(("127.0.0.1", 12345), timeout=5) as client:
        client.send(b"terminate")
        return client.recv(100).decode()


def facts():
    """Return what is wrong, one by one."""
    called = {event.fn.__name__: event.fn for event in demo.fns.values()}
    ended = []
    app.os._exit = ended.append
    for name in ("stop_llm_container", "stop_trellis_container"):
        setattr(app, name, lambda force: None)
    tells_pid = handed_out() == f"terminating:{os.getpid()}"
    called["reveal_workspace"]([{"title": "Chair", "path": None}], 0)
    called["check_services_health"](1)
    own = list(ended)
    called["check_services_health"](0)
    config.AGENT_BASE_URL = "http://elsewhere.invalid/v1"
    agent, model = app.AgentService(), app.Model3DService()
    pictures = app.ImageGenerationService()
    pictures.sana_pipeline, pictures.is_loaded = app.torch, True
    pictures.guardrail_service.is_loaded = True
    pictures.guardrail_service.pipe = lambda _: [{"label": "SAFE", "score": 1}]
    return {
        "kept at start": left.exists(),
        "tells its pid": tells_pid,
        "ended by its own tab": own,
        "ended by another tab": ended,
        "addresses": [agent.agent.health_check_url, model.infer_endpoint],
        "timeout": model.timeout,
        "objects while the LLM is away": agent.generate_objects_for_scene("x"),
        "kind while the LLM is away": agent.classify_input("hello"),
        "3D while it is away": model.make_infer_request("data:image/png;base64,"),
        "picture without a GPU": pictures.generate_image_from_prompt("a", "b", "c")[:2],
        "stops what never ran": app.stop_container(),
    }


out.write(json.dumps(events() if "events" in sys.argv else facts()))
out.flush()
# Threads of the page would wait for ever.
os.kill(os.getpid(), 9)
