"""The results as a table and as a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from lab.bench.measure import Series


@dataclass(frozen=True)
class Row:
    """One line of the table: a contestant under one condition, compared with a series.

    + compared: its time divided by that of the baseline, None for the baseline itself
    """

    condition: str
    name: str
    series: Series
    compared: float | None = None


@dataclass(frozen=True)
class Goal:
    """A target ratio: at least ``least`` or at most ``most``."""

    text: str
    value: float
    least: float = 0
    most: float = float("inf")

    @property
    def met(self) -> bool:
        return self.least <= self.value <= self.most

    def __str__(self) -> str:
        limit = f"at least {self.least:g}" if self.least else f"at most {self.most:g}"
        return f"{self.text}: {self.value:.2f} ({limit}: {'met' if self.met else 'missed'})"


def table(rows: Iterable[Row]) -> Table:
    """Return the rows as a table for a terminal."""
    made = Table(
        title="runs that change nothing, median wall time",
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    made.add_column("condition", no_wrap=True)
    made.add_column("who", no_wrap=True)
    for title in ("seconds", "from-to", "ratio", "trips", "CPU s", "MiB"):
        made.add_column(title, justify="right", no_wrap=True)
    condition = ""
    for row in rows:
        if condition and row.condition != condition:
            made.add_section()
        series, turns = row.series, row.series.turns
        made.add_row(
            row.condition if row.condition != condition else "",
            row.name,
            f"{series.median:.2f}",
            f"{min(series.seconds):.1f}-{max(series.seconds):.1f}",
            "" if row.compared is None else f"{row.compared:.2f}",
            "" if turns is None else f"{turns:.0f}",
            f"{series.processor:.2f}",
            f"{series.memory:.0f}",
        )
        condition = row.condition
    return made


def document(
    conditions: Mapping[str, Any], rows: Iterable[Row], goals: Iterable[Goal]
) -> dict[str, Any]:
    """Return all measurements as plain data, in seconds and MiB."""
    return {
        "conditions": dict(conditions),
        "rows": [
            {
                "condition": row.condition,
                "who": row.name,
                "median_seconds": round(row.series.median, 3),
                "seconds": [round(seconds, 3) for seconds in row.series.seconds],
                "ratio": None if row.compared is None else round(row.compared, 3),
                "round_trips": row.series.turns,
                "processor_seconds": round(row.series.processor, 3),
                "peak_memory_mib": round(row.series.memory, 1),
            }
            for row in rows
        ],
        "goals": [{"goal": str(goal), "met": goal.met} for goal in goals],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file of results, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.rename(path)
