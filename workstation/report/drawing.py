"""The layout of the picture of a machine.

Positions depend only on the order of the parts, so the same machine always gives the same picture.
Lengths are in SVG units; one unit is about one CSS pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workstation.findings import State
from workstation.report.topology import Node, Topology

TITLE, LINE, MARK = 14, 12, 11
"""Font sizes, as templates/report/style.css has them; titles are bold."""

# Widths in font sizes for DejaVu Sans, the widest of the usual fonts; 0.65 for other letters.
_WIDTHS = {**dict.fromkeys("fijlrt-.,:;'!|/()[] ", 0.42), **dict.fromkeys("mwMWOQGD@%…", 1.0)}
_BOLD = 1.15

_GAP = 12
_RAIL = 14
"""Distance between a row of boxes and a wire along it."""


@dataclass(frozen=True)
class Text:
    """A line of text at its baseline, cut to fit."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A word in a frame of its own."""

    x: float
    y: float
    width: float
    text: str


@dataclass(frozen=True)
class Box:
    """A part with its position; ``kind`` determines its look."""

    kind: str
    node: Node
    x: float
    y: float
    width: float
    height: float
    title: Text
    lines: tuple[Text, ...]
    marks: tuple[Mark, ...]

    @property
    def state(self) -> State | None:
        return self.node.state

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True)
class Wire:
    """A line as an SVG path: ``route`` for requests, ``use`` from a service to a resource."""

    kind: str
    path: str
    arrow: bool = True


@dataclass(frozen=True)
class Drawing:
    """Boxes and wires, in the order in which they are drawn."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]


def draw(topology: Topology, width: float, columns: int) -> Drawing:
    """Return the picture of a machine.

    + width: of the whole picture
    + columns: largest number of boxes side by side
    """
    inset = 20 if columns < 3 else 32
    left, right = inset, width - inset
    browser = _box("outside", Node("Browser", ("on the network",)), width / 2 - 80, 1, 160)
    # Leaves room on the right of the host's name for the wire from the browser.
    host = _box("host", topology.host, 1, browser.bottom + 20, width / 2 - 12)
    # Without a proxy the wire from the browser leads to the machine, whose services come next.
    proxies = [
        _box("proxy", node, left, host.bottom, right - left) for node in (topology.proxy,) if node
    ]
    y = proxies[0].bottom if proxies else host.bottom
    services = _rows("service", topology.services, left, right, y + 2 * _RAIL, columns)
    y = (services[-1][0].bottom if services else y) + 2 * _RAIL
    # Resources have less text than services, so one more fits in a row.
    beside = columns if columns < 3 else columns + 1
    resources = _rows("resource", topology.resources, left, right, y, beside)
    inside = [box for row in (proxies, *services, *resources) for box in row]
    bottom = inside[-1].bottom + 16
    boxes = [replace(host, width=width - 2, height=bottom - host.y), browser, *inside]
    wires = [
        _down("route", browser, proxies[0].y if proxies else host.y),
        *(wire for proxy in proxies for wire in _routes(proxy, services, left - inset / 2)),
        *_uses(services, resources, right + inset / 2),
    ]
    if topology.server and resources:
        share = resources[-1][-1]
        server_width = max(share.width, 230)
        x = max(min(share.middle - server_width / 2, width - server_width - 1), 1)
        server = _box("outside", topology.server, x, bottom + 24, server_width)
        boxes.append(server)
        wires.append(_down("use", share, server.y))
        bottom = server.bottom
    return Drawing(width, bottom + 1, tuple(boxes), tuple(wires))


def _rows(
    kind: str, nodes: Sequence[Node], left: float, right: float, y: float, columns: int
) -> list[list[Box]]:
    """Return nodes placed side by side; the boxes of a row are as high as its highest box."""
    rows: list[list[Box]] = []
    columns = min(columns, max(len(nodes), 1))
    width = (right - left - _GAP * (columns - 1)) / columns
    for first in range(0, len(nodes), columns):
        row = [
            _box(kind, node, left + place * (width + _GAP), y, width)
            for place, node in enumerate(nodes[first : first + columns])
        ]
        height = max(box.height for box in row)
        rows.append([replace(box, height=height) for box in row])
        y += height + 3 * _RAIL
    return rows


def _box(kind: str, node: Node, x: float, y: float, width: float) -> Box:
    """Return a box with a node's text laid out from the top, as high as the text needs."""
    inner = width - 24
    title = _cut(node.title, inner - (22 if node.state else 0), TITLE * _BOLD)
    below = y + 24.0
    lines = []
    for line in node.lines:
        for part in _wrapped(line, inner, LINE):
            below += 17
            lines.append(Text(x + 12, below, part))
    marks = []
    if node.marks:
        below += 10
        start = x + 12
        for word in node.marks:
            text = _cut(word, inner - 14, MARK)
            wide = _width(text, MARK) + 14
            if start + wide > x + width - 12 and start > x + 12:
                start = x + 12
                below += 23
            marks.append(Mark(start, below, wide, text))
            start += wide + 5
        below += 19
    height = below + 12 - y
    return Box(
        kind, node, x, y, width, height, Text(x + 12, y + 24, title), tuple(lines), tuple(marks)
    )


def _routes(proxy: Box, rows: Sequence[Sequence[Box]], x: float) -> Iterator[Wire]:
    """Yield the wires from the proxy down its left side to every service with a route."""
    for row in rows:
        routed = [box for box in row if box.node.routed]
        if routed:
            rail = row[0].y - _RAIL
            start = f"M{proxy.x:g} {proxy.y + 24:g}H{x:g}V{rail:g}H{routed[-1].middle:g}"
            yield Wire("route", start, arrow=False)
            for box in routed:
                yield Wire("route", f"M{box.middle:g} {rail:g}V{box.y - 1:g}")


def _uses(
    rows: Sequence[Sequence[Box]], resources: Sequence[Sequence[Box]], x: float
) -> Iterator[Wire]:
    """Yield the wires from services down the right side to the resources that they use."""
    rails: dict[float, list[Box]] = {}
    for row in rows:
        rails.setdefault(row[0].bottom + _RAIL, []).extend(box for box in row if box.node.uses)
    # The first row of resources is next to the last row of services and shares its rail.
    for row in resources:
        rails.setdefault(row[0].y - _RAIL, []).extend(row)
    used = {rail: boxes for rail, boxes in rails.items() if boxes}
    for rail, boxes in used.items():
        middles = [box.middle for box in boxes] + [x] * (len(used) > 1)
        yield Wire("use", f"M{min(middles):g} {rail:g}H{max(middles):g}", arrow=False)
        for box in boxes:
            if box.kind == "resource":
                yield Wire("use", f"M{box.middle:g} {rail:g}V{box.y - 1:g}")
            else:
                yield Wire("use", f"M{box.middle:g} {box.bottom:g}V{rail:g}", arrow=False)
    if len(used) > 1:
        yield Wire("use", f"M{x:g} {min(used):g}V{max(used):g}", arrow=False)


def _down(kind: str, box: Box, y: float) -> Wire:
    return Wire(kind, f"M{box.middle:g} {box.bottom:g}V{y - 1:g}")


def _width(text: str, size: float) -> float:
    """Return the largest width of a text; East Asian characters are as wide as they are high."""
    return size * sum(
        _WIDTHS.get(character, 1.0 if character > "\u2e80" else 0.65) for character in text
    )


def _cut(text: str, width: float, size: float) -> str:
    """Return as much of ``text`` as fits, with an ellipsis for the rest."""
    if _width(text, size) <= width:
        return text
    while text and _width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, width: float, size: float, lines: int = 3) -> list[str]:
    """Return the text in at most ``lines`` lines, broken at a blank or before a slash if
    possible."""
    if _width(text, size) <= width or lines == 1:
        return [_cut(text, width, size)]
    fitting = next(end for end in range(len(text), -1, -1) if _width(text[:end], size) <= width)
    places = [found.start() for found in re.finditer(r"\s|(?<!/)/", text[: fitting + 1])]
    place = (places and places[-1]) or max(fitting, 1)
    rest = text[place:].lstrip()
    return [text[:place].rstrip(), *_wrapped(rest, width, size, lines - 1)]
