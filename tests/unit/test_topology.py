"""The picture of a machine: its contents from the stacks, and their positions."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from lab import upstream
from tests.page import sample
from workstation.report.drawing import Box, Drawing, draw
from workstation.report.topology import Site, Topology, read, stand_in, uses
from workstation.stack import Stack

SIZES = [(980, 4), (336, 2)]


def topology(*stacks: Stack, site: Site = sample.SITE, stand_ins: tuple[str, ...] = ()) -> Topology:
    return read("ki-server", site, stacks, {}, stand_ins)


def test_what_a_service_uses_is_read_from_its_compose_entry():
    found = {one.name: uses(one, sample.SITE) for one in sample.dhoch3().running}
    assert found["forge"] == ("GPU", "models", "share", "Ollama")
    assert found["dockge"] == ("Docker",)
    bare = sample.made_up(["web"], volumes=["web:/data"], extra_hosts=[], gpus=[])
    assert uses(bare.services[0], sample.SITE) == ()


def test_what_is_only_built_is_not_shown():
    assert "base" not in {node.title for node in topology(sample.dhoch3()).services}


def test_a_part_that_nobody_uses_is_not_shown():
    found = topology(sample.made_up(["web"], volumes=[], extra_hosts=[]))
    assert [node.title for node in found.resources] == ["GPU"]
    assert found.server is None


def test_a_store_that_a_service_may_write_to_is_said_to_be():
    writer = sample.made_up(["web"], volumes=[f"{sample.SITE.models_path}:/models"])
    for stack, words in ((sample.dhoch3(), "read-only in services"), (writer, "some services wr")):
        (store,) = [one for one in topology(stack).resources if one.title == "Model store"]
        assert store.lines[1].startswith(words)


def test_the_sentence_tells_what_the_picture_shows():
    found = topology(sample.made_up(["web", "db"])).sentence
    assert "which routes to 2 of 2 services by name" in found
    assert "web uses GPU, models, share, Ollama" in found


def test_without_a_route_there_is_no_proxy_in_the_picture():
    """Browsers connect through tunnels; the services take the proxy's place."""
    found = topology(sample.made_up(["web", "db"], labels={}))
    assert found.proxy is None
    assert found.sentence.startswith("Browsers reach ")
    drawing = draw(found, 980, 4)
    assert {box.kind for box in drawing.boxes} == {"outside", "host", "service", "resource"}


@pytest.mark.parametrize(
    ("scheme", "port", "link"),
    [
        ("http", 80, "http://a.b/"),
        ("http", 443, "http://a.b:443/"),
        ("https", 443, "https://a.b/"),
        ("https", 8443, "https://a.b:8443/"),
    ],
)
def test_a_link_names_its_port_if_it_is_not_the_usual_one(scheme: str, port: int, link: str):
    assert Site(scheme=scheme, port=port).link("a.b") == link  # type: ignore[arg-type]


def test_every_service_that_the_lab_replaces_is_marked():
    """By the phrases in the lab's mirror file."""
    phrases = upstream.stand_ins()
    for name in (*(one.name for one in sample.dhoch3().running), "Ollama", "NVIDIA", "NAS"):
        assert stand_in(name, phrases), name
    marks = {
        one.title: one.marks for one in topology(sample.dhoch3(), stand_ins=tuple(phrases)).services
    }
    assert all("stand-in" in found for found in marks.values())


@pytest.mark.parametrize("phrase", ["x: like forge", "forge-classic", "", "reforge, x: y"])
def test_a_phrase_about_something_else_marks_nothing(phrase: str):
    assert stand_in("forge", [phrase]) == ""


def drawings() -> list[Drawing]:
    long = ["a-service-whose-name-is-much-longer-than-a-box", "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMM"]
    stacks = [
        sample.made_up([f"service-{number}" for number in range(count)]) for count in (0, 1, 3, 12)
    ]
    stacks += [sample.dhoch3(), sample.made_up(long, ports=["127.0.0.1:8080:80"])]
    return [draw(topology(stack), width, columns) for stack in stacks for width, columns in SIZES]


def apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.bottom <= other.y
        or other.bottom <= one.y
    )


@pytest.mark.parametrize("drawing", drawings())
def test_boxes_keep_apart_and_inside(drawing: Drawing):
    assert len(drawing.boxes) > 1
    (host,) = [box for box in drawing.boxes if box.kind == "host"]
    others = [box for box in drawing.boxes if box.kind != "host"]
    for one, other in combinations(others, 2):
        assert apart(one, other), (one.node.title, other.node.title)
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.bottom <= drawing.height
        for mark in box.marks:
            assert box.x < mark.x
            assert mark.x + mark.width < box.x + box.width
            assert mark.y + 19 < box.bottom
        if box.kind != "outside":
            assert box.bottom <= host.bottom
        elif box is not others[0]:
            assert box.y > host.bottom


def test_a_wire_leads_to_each_service_with_a_route_and_from_each_that_uses_something():
    drawing = draw(topology(sample.dhoch3()), 980, 4)
    boxes = {box.node.title: box for box in drawing.boxes}
    arrows = [wire.path for wire in drawing.wires if wire.kind == "route" and wire.arrow]
    for name in ("comfyui", "dockge"):
        assert any(path.endswith(f"V{boxes[name].y - 1:g}") for path in arrows)
    assert len(arrows) == 1 + 7
    hidden = draw(
        topology(sample.made_up(["web"], labels={}, extra_hosts=[], gpus=[], volumes=[])), 980, 4
    )
    assert len(hidden.wires) == 1


PRINT = """
from tests.unit.test_topology import drawings
for drawing in drawings():
    print(drawing)
"""


def test_the_same_machine_gives_the_same_picture():
    """In another process too, where sets have another order."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PRINT],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert outputs[0].count("Drawing(") == len(drawings())
    assert outputs[0] == outputs[1]
