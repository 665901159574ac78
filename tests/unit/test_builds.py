"""The bake file of a stack, and the labels of its images."""

from __future__ import annotations

from typing import Any

import pytest

from workstation import pins
from workstation.compose.builds import (
    bake_definition,
    changed_inputs,
    labels,
    listing,
    origin,
)
from workstation.pins import Source
from workstation.stack import Service, Stack

BASE = Service("base", "s/base:1-bbb", build="/opt/stacks/s/base", profiles=("build",))
APP = Service("app", "s/app:1-aaa", build="/opt/stacks/s/app")
STACK = Stack("s", (APP, BASE), ())


DOCKERFILES = {
    "app": "FROM s/base:1-bbb AS build\nRUN true\nfrom s/base:1-bbb\nCOPY --from=build /a /a\n",
    "base": "FROM docker.io/library/python:3.11\n",
    "other": "FROM --platform=linux/amd64 s/base:1-bbb\n",
}


def test_a_base_built_in_the_same_run_is_a_target_of_it():
    """It is built once, before the images that depend on it."""
    bake = bake_definition(STACK, DOCKERFILES, ["app", "base"], ["id=ca,src=/etc/ca.crt"])
    assert bake == {
        "group": {"default": {"targets": ["app", "base"]}},
        "target": {
            "app": {
                "context": "/opt/stacks/s/app",
                "tags": ["s/app:1-aaa"],
                "contexts": {"s/base:1-bbb": "target:base"},
                "secret": ["id=ca,src=/etc/ca.crt"],
                "labels": {},
                "output": ["type=image,compression=zstd"],
            },
            "base": {
                "context": "/opt/stacks/s/base",
                "tags": ["s/base:1-bbb"],
                "contexts": {},
                "secret": ["id=ca,src=/etc/ca.crt"],
                "labels": {},
                "output": ["type=image,compression=zstd"],
            },
        },
    }


def test_a_base_that_is_there_is_not_built_again():
    """Its image is found by its name."""
    bake: Any = bake_definition(STACK, DOCKERFILES, ["app"])
    assert list(bake["target"]) == ["app"]
    assert bake["target"]["app"]["contexts"] == {}
    assert bake["target"]["app"]["secret"] == []


def test_a_base_with_a_platform_is_recognised():
    """There may be options between FROM and the image."""
    other = Service("other", "s/other:1", build="/opt/stacks/s/other")
    stack = Stack("s", (other, BASE), ())
    bake: Any = bake_definition(stack, DOCKERFILES, ["other", "base"])
    assert bake["target"]["other"]["contexts"] == {"s/base:1-bbb": "target:base"}


def test_an_image_says_what_it_was_made_from():
    """Source and commit from the pin, and the hash of its inputs."""
    commit = "0123456789" * 4
    source = Source(url="https://github.com/a/big.git", commit=commit, version="2.5")
    service = Service("big-app", "s/big-app:2.5-0123abcd", build="/opt/stacks/s/big-app")
    found = labels(service, source, "2026-01-01T00:00:00+00:00", "Dockerfile=1234abcd")
    assert found == {
        "org.opencontainers.image.title": "s/big-app",
        "org.opencontainers.image.version": "2.5-0123abcd",
        "org.opencontainers.image.created": "2026-01-01T00:00:00+00:00",
        "org.opencontainers.image.source": "https://github.com/a/big",
        "org.opencontainers.image.revision": commit,
        "workstation.hash": "0123abcd",
        "workstation.inputs": "Dockerfile=1234abcd",
    }
    bake: Any = bake_definition(STACK, DOCKERFILES, ["app"], labels={"app": found})
    assert bake["target"]["app"]["labels"] == found


def test_what_differs_between_two_builds_is_named():
    """Changed, new and removed files; nothing if the earlier list is unknown."""
    before = listing({"Dockerfile": b"FROM a\n", "start.sh": b"", "old": b""})
    after = listing({"Dockerfile": b"FROM b\n", "start.sh": b"", "new=1": b""})
    assert changed_inputs(before, after) == ["Dockerfile", "new=1", "old"]
    assert changed_inputs("", after) == []
    assert changed_inputs(after, after) == []


def test_an_image_of_no_source_says_nothing_of_one():
    """For example the base."""
    found = labels(BASE, None, "2026-01-01T00:00:00+00:00")
    assert "org.opencontainers.image.source" not in found


PINS = pins.load()


@pytest.mark.parametrize(
    ("folder", "used", "expected"),
    [
        ("app", {"sources.fooocus", "images.python"}, "sources.fooocus"),
        ("forge", {"sources.forge", "sources.forge_blip"}, "sources.forge"),
        ("llamacpp", {"images.cuda"}, "downloads.llamacpp"),
        ("ai-toolkit", {"sources.ai_toolkit"}, "sources.ai_toolkit"),
        ("redis", {"images.redis", "sources.fooocus"}, "images.redis"),
        ("redis", {"images.python", "sources.fooocus"}, "sources.fooocus"),
        ("app", {"sources.forge", "sources.forge_blip"}, ""),
        ("app", {"images.python"}, ""),
    ],
)
def test_an_image_has_the_version_of_what_it_is_built_from(
    folder: str, used: set[str], expected: str
):
    """Of the pinned image that it has its name from, the only source that it uses, or the source or
    download with its name."""
    assert origin(folder, used, PINS) == expected
