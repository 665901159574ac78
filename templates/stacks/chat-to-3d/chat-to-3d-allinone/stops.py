"""Ends a text at the first of the sequences at which a client wants it to stop. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Takes a text piece by piece, and holds back what may become a stop sequence."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [one for one in sequences if one]
        self._held = ""
        self.stopped = False

    def add(self, piece: str) -> str:
        """Return what can be passed on now; nothing after ``stopped``."""
        if self.stopped:
            return ""
        text = self._held + piece
        places = [place for one in self._sequences if (place := text.find(one)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        kept = max(
            (
                size
                for one in self._sequences
                for size in range(1, min(len(one), len(text) + 1))
                if text.endswith(one[:size])
            ),
            default=0,
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def end(self) -> str:
        """Return what was held back, at the end of the text."""
        rest, self._held = self._held, ""
        return rest
