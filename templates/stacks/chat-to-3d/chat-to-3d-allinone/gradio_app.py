"""Starts upstream's page, corrected; see ``corrections.CORRECTIONS``."""

from __future__ import annotations

import os
import signal
import sys
import threading
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
def serve(demo: Any, given: Options) -> int:
    """Serve the page until told to stop; return the exit status."""
    ended = threading.Event()
    demo.launch(
        server_name=given.text("GRADIO_SERVER_NAME", "0.0.0.0"),
        server_port=given.port(PAGE),
        share=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    # After the import of upstream's module, which sets its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print(f"the page is at port {given.port(PAGE)}", flush=True)
    while not ended.wait(5):
        if not demo.server.thread.is_alive():
            print("the page's server has ended", file=sys.stderr, flush=True)
            return 1
    return 0


def main() -> None:
    """Wait, serve, and end without waiting for threads that compute."""
    given = options()
    time.sleep(delay(given, time.time()))
    status = serve(create(given), given)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
