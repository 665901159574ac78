"""Says on the page, and in the log, what failed."""

from __future__ import annotations

import html

MARK = "trouble: "
"""Begins the log's lines; check.py looks for them."""


def tell(sentence: str) -> None:
    """Show a sentence on the page of whoever caused the work that is being done."""
    import gradio

    print(MARK + sentence, flush=True)
    # Gradio shows it as HTML.
    gradio.Warning(html.escape(sentence), duration=30)
