"""Run in the container of chat-to-3d: calls functions of the page as one tab, and prints a line of
JSON for each.

The arguments are the port and the calls as JSON: a list of names with their values.
"""

import json
import sys
import time

from gradio_client import Client

client = Client(
    f"http://127.0.0.1:{sys.argv[1]}",
    verbose=False,
    download_files=False,
    analytics_enabled=False,
    httpx_kwargs={"timeout": 900},
)
for name, *values in json.loads(sys.argv[2]):
    began = time.monotonic()
    try:
        said = client.predict(*values, api_name=f"/{name}")
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    took = round(time.monotonic() - began, 1)
    print(json.dumps({"call": name, "said": said, "seconds": took}), flush=True)
