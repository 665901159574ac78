"""Corrects upstream's page: what its buttons and its timer call."""

from __future__ import annotations

import functools
import html
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from corrections import corrects, present
from hand_over import HandOver, problem
from names import clean
from options import LLM, TRELLIS, Options, one_line
from troubles import tell

NOTE = (
    "<div style='padding:4px 0; font-size:13px; opacity:.75'>For one user at a time: the work of"
    " all open tabs is done one after another.</div>"
)

_PREVIEW = (
    "<script>navigator.gpu?.requestAdapter().then((adapter) =>"
    " { if (!adapter) delete Navigator.prototype.gpu })</script>"
)
"""Gradio's viewer takes WebGPU if a browser knows it, whether or not there is a GPU for it."""

_TABS = 1000
"""Tabs that are remembered; nothing says when one is closed for good."""

_GPU = (
    "generate_images_for_gallery",
    "perform_image_refresh",
    "perform_edit_update",
    "perform_3d_generation",
    "perform_batch_3d_conversion",
)
"""What computes pictures or objects."""

_WORK = (*_GPU, "handle_scene_input", "stop_llm_container", "go_to_first_screen")
"""What must not happen in two tabs at once."""


class Tabs:
    """Which tabs show objects, by Gradio's session."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, bool] = OrderedDict()
        self._lock = threading.Lock()

    def set(self, session: str, shows: bool) -> None:
        """Remember whether a tab shows objects."""
        with self._lock:
            self._shown[session] = shows
            self._shown.move_to_end(session)
            while len(self._shown) > _TABS:
                self._shown.popitem(last=False)

    def shows(self, session: str) -> bool:
        """Return whether a tab shows objects; a new one does not."""
        return self._shown.get(session, False)


def session() -> str:
    """Return the tab that caused this call."""
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    return str(getattr(request, "session_hash", "") or "")


class InUse:
    """The mark that somebody is using the page; its time is that of the last work."""

    def __init__(self, given: Options) -> None:
        self._file = given.run / "page-in-use"
        self._file.unlink(missing_ok=True)

    def during(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with the mark set while it runs."""

        @functools.wraps(original)
        def call(*arguments: Any) -> Any:
            self._file.write_text("busy")
            try:
                return original(*arguments)
            finally:
                self._file.write_text("idle")

        return call


@corrects("outputs", "no-containers", "pid-port", "hand-over", "one-user")
def correct_application(app: Any, given: Options, hand_over: HandOver) -> None:
    """Replace what upstream's main module does when the page is created."""
    if present("outputs", app, "delete_assets_dir"):
        app.delete_assets_dir = lambda: None
    if present("no-containers", app, "_ensure_llm_nim_started", "_ensure_trellis_nim_started"):
        app._ensure_llm_nim_started = hand_over.resume
        app._ensure_trellis_nim_started = lambda: None
    if present("hand-over", app, "stop_container"):
        app.stop_container = hand_over.pause
    if present("pid-port", app, "TerminationServer"):
        app.TerminationServer = lambda: types.SimpleNamespace(start=lambda: None, stop=lambda: None)
    if present("one-user", app, "nvidia_html"):
        app.nvidia_html += NOTE
    if present("export", app, "export_3d_assets_to_folder"):
        app.export_3d_assets_to_folder = exported(app.export_3d_assets_to_folder, given)


@corrects("export")
def exported(original: Callable[..., Any], given: Options) -> Callable[..., Any]:
    """Return upstream's export, into one folder whose name is clean, with a word about it."""

    @functools.wraps(original)
    def export(gallery: list[dict[str, Any]], name: str) -> Any:
        import gradio

        folder = clean(name or "", "").replace(" ", "_")
        if not folder:
            tell("The export needs a name.")
            return gradio.update(visible=True)
        made = [{**one, "title": clean(one["title"])} for one in gallery]
        wanted = {f"{one['title'].replace(' ', '_')}.glb" for one in made if one.get("glb_path")}
        found = original(made, folder)
        target = given.outputs / "exports" / folder
        there = {file.name for file in target.glob("*.glb")}
        if missing := sorted(wanted - there):
            tell(f"The export lacks {', '.join(missing)}: is the disk full?")
        else:
            gradio.Info(html.escape(f"{len(wanted)} objects are in {target}."))
        return found

    return export


@corrects("reload", "one-after-another", "waiting", "preview")
def correct_events(demo: Any, app: Any, given: Options, hand_over: HandOver) -> None:
    """Replace functions of the page, by their names, after it was created."""
    demo.head = (getattr(demo, "head", None) or "") + _PREVIEW
    tabs, in_use = Tabs(), InUse(given)
    # Read at several places to mean "some tab shows objects", which each tab's own data say too.
    app._in_workspace_mode = True

    def make_room() -> None:
        if app.is_llm_should_be_stopped():
            hand_over.pause()

    replaced: dict[str, Callable[[Any], Any]] = {
        "check_services_health": lambda _: health(given, hand_over, tabs),
        "reveal_workspace": lambda original: _revealing(original, tabs),
        "go_to_first_screen": lambda original: _leaving(original, tabs),
        "stop_llm_container": lambda original: _stopping(original, tabs),
        "handle_scene_input": lambda original: _planning(original, hand_over),
        **{name: lambda original: _after(make_room, original) for name in _GPU},
    }
    found: dict[Callable[..., Any], Callable[..., Any]] = {}
    seen = set()
    for event in demo.fns.values():
        name = getattr(event.fn, "__name__", "")
        if name not in replaced:
            continue
        seen.add(name)
        # Several events may share a function, which upstream makes anew for each card.
        if event.fn not in found:
            function = replaced[name](event.fn)
            found[event.fn] = in_use.during(function) if name in _WORK else function
        event.fn = found[event.fn]
        if name in _WORK:
            event.concurrency_id, event.concurrency_limit = "work", 1
    for name in sorted(set(replaced) - seen):
        print(f"correction reload is left out for {name}: the page has no such function")


def _after(before: Callable[[], None], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any) -> Any:
        before()
        return original(*arguments)

    return call


def _revealing(original: Callable[..., Any], tabs: Tabs) -> Callable[..., Any]:
    @functools.wraps(original)
    def reveal(gallery: Any, *arguments: Any) -> Any:
        tabs.set(session(), bool(gallery))
        return original(gallery, *arguments)

    return reveal


def _leaving(original: Callable[..., Any], tabs: Tabs) -> Callable[..., Any]:
    """The original says for all tabs that none shows objects: let it say that to a copy of its
    module's names."""
    alone = types.FunctionType(
        original.__code__,
        dict(original.__globals__),
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )

    @functools.wraps(original)
    def leave(*arguments: Any) -> Any:
        tabs.set(session(), False)
        return alone(*arguments)

    return leave


def _stopping(original: Callable[..., Any], tabs: Tabs) -> Callable[..., Any]:
    """A scene that failed needs no room on the GPU."""

    @functools.wraps(original)
    def stop(*arguments: Any) -> Any:
        return original(*arguments) if tabs.shows(session()) else None

    return stop


def _planning(original: Callable[..., Any], hand_over: HandOver) -> Callable[..., Any]:
    @functools.wraps(original)
    def plan(scene: str, gallery: Any) -> Any:
        import gradio

        if scene.strip() and (why := hand_over.wake()):
            # Keeps what was typed, unlike upstream.
            return scene, gallery, gradio.update(value=tip(why), visible=True)
        return original(scene, gallery)

    return plan


def tip(sentence: str) -> str:
    """Return a sentence as upstream shows its tips."""
    text = html.escape(sentence)
    return f'<div class="tip-message"><span class="tip-text">{text}</span></div>'


def overlay(sentence: str) -> str:
    """Return upstream's spinner with a reason."""
    return (
        '<div class="llm-spinner-overlay"><div class="llm-spinner-content">'
        '<div class="llm-spinner-ring"></div><div><div class="llm-spinner-title">Waiting for the'
        f' LLM</div><div class="llm-spinner-subtitle">{html.escape(sentence)}</div></div></div>'
        "</div>"
    )


def health(given: Options, hand_over: HandOver, tabs: Tabs) -> Callable[..., Any]:
    """Return what the page's timer calls: it shows a reason instead of a spinner, and what can be
    done without 3D is not held up by it."""
    pool = ThreadPoolExecutor(2)
    without_3d = given.text("TRELLIS_BACKEND", "none") == "none"

    def line(name: str, state: str, good: bool) -> str:
        # Upstream has room for a word; a sentence needs several lines.
        color = "#16be16" if good else "#b45309"
        style = f"color:{color}; white-space:normal; line-height:1.3; margin-left:1em"
        return f'<div class="status-text" style="{style}">{name}: {html.escape(state)}</div>'

    def check_services_health(_: Any) -> Any:
        import gradio

        asked = pool.submit(problem, given, TRELLIS)
        paused = hand_over.paused
        llm = "" if paused else problem(given, LLM)
        trellis = asked.result()
        shown = tabs.shows(session())
        states = (
            line("LLM", "starts with the next scene" if paused else llm or "ready", not llm),
            line("3D", "none" if without_3d else one_line(trellis) or "ready", not trellis),
        )
        return (
            gradio.update(value=overlay(llm), visible=bool(llm) and not shown),
            gradio.update(
                value=f'<div class="status-section" style="display:block">{"".join(states)}</div>'
            ),
            gradio.update(visible=not llm and not shown),
            gradio.update(visible=True),
            gradio.update(active=not shown),
        )

    return check_services_health


@corrects("copies")
def serve_in_place(folder: Path) -> None:
    """Let Gradio serve a folder's files from where they are."""
    import gradio

    gradio.set_static_paths([folder])
