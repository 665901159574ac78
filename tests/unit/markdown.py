"""Tables in the documents."""

from __future__ import annotations


def table(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the cells of the only table in a page: its head, and its rows."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    head, _, *body = rows
    assert all(len(row) == len(head) for row in body)
    return head, body
