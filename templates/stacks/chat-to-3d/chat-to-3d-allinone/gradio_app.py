"""Starts upstream's page, corrected; see ``corrections.CORRECTIONS``."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from corrections import corrects
from options import PAGE, Options, options

_DELAY = 30
"""Seconds after supervisord's start, as in the document: the services come first."""


def delay(given: Options, now: float) -> float:
    """Return how many seconds are left of START_DELAY, which begins with supervisord: a page that
    is started again later does not wait."""
    try:
        began = (given.run / "supervisord.pid").stat().st_mtime
    except FileNotFoundError:
        return 0
    wanted = given.number("START_DELAY", _DELAY)
    return max(0.0, min(wanted, began + wanted - now))


def create(given: Options) -> Any:
    """Return upstream's page."""
    # No look at the Internet for a newer Gradio, and no statistics.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.chdir(given.source)  # Some of upstream's paths are relative.
    sys.path.insert(0, str(given.source))
    import making
    import page
    import planning
    from hand_over import HandOver

    planning.correct_config(given)
    planning.correct_driver()
    planning.correct_agent()
    making.correct_pictures(given)
    making.correct_guard(given)
    making.correct_3d(given)
    import app

    hand_over = HandOver(given)
    page.correct_application(app, given, hand_over)
    page.serve_in_place(given.outputs)
    demo = app.create_app()
    page.correct_events(demo, app, given, hand_over)
    return demo


@corrects("address", "end")
def serve(demo: Any, given: Options) -> None:
    """Serve the page until told to stop.

    Without Gradio's ``launch``, which gives up if a busy machine takes seconds to answer.
    """
    import gradio
    import uvicorn
    from fastapi import FastAPI

    # Upstream's handlers wait for threads that compute. uvicorn repeats the signal at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    uvicorn.run(
        gradio.mount_gradio_app(FastAPI(docs_url=None, redoc_url=None), demo, path="/"),
        host=given.text("GRADIO_SERVER_NAME", "0.0.0.0"),
        port=given.port(PAGE),
        access_log=False,
        # Each open tab has a connection that never ends.
        timeout_graceful_shutdown=2,
        server_header=False,
    )


def main() -> None:
    """Wait until it is this program's turn, and serve."""
    given = options()
    time.sleep(delay(given, time.time()))
    serve(create(given), given)


if __name__ == "__main__":
    main()
