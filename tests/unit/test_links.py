"""The real location of paths, and the links that root may follow."""

from __future__ import annotations

from typing import Any

import pytest

from workstation.facts.files import PathState
from workstation.links import Destination, above, destination, refusal

STORE = "/vol/models"


def state(kind: str = "directory", **changes: Any) -> PathState:
    return PathState(kind, "2775", "root", "ai", 0, 2000, 1.0, **changes)  # type: ignore[arg-type]


def test_a_path_without_links_lies_where_it_says():
    """Whether or not it exists."""
    assert destination(STORE, [], {STORE: state()}) == Destination(STORE)
    assert destination(STORE, [], {}) == Destination(STORE)


def test_what_is_not_there_will_lie_where_the_folder_above_leads():
    """The nearest existing folder counts."""
    states = {"/vol": state("link", real="/disk"), "/vol/a": state(real="/disk/a")}
    assert destination("/vol/a/b/c", [], states).real == "/disk/a/b/c"
    assert destination("/vol/x", [], states).real == "/disk/x"


def test_a_link_of_root_is_followed():
    """A link to a disk, or to a folder on one."""
    states = {STORE: state("link", real="/mnt/disk2/models")}
    found = destination(STORE, [STORE], states)
    assert (found, refusal(found)) == (Destination("/mnt/disk2/models"), "")


def test_a_link_of_somebody_else_is_followed_within_the_folder_it_shares():
    """Anyone who may write to the store may rearrange it."""
    link = f"{STORE}/unet"
    states = {
        STORE: state("link", real="/disk/models"),
        link: state("link", real="/disk/models/diffusion_models", planted="anna /vol/models/unet"),
    }
    assert destination(link, [STORE, link], states).planted == ""
    assert destination(link, [link], states).planted == "anna /vol/models/unet"


@pytest.mark.parametrize(
    ("real", "words"),
    [
        ("/home/anna/x", "chown -h root:root /vol/models/unet"),
        ("/etc", "a system folder"),
        ("/etc/cron.d", "a system folder"),
        ("/", "a system folder"),
        ("/home", "a system folder"),
        ("/vol/models2", "belongs to anna"),
    ],
)
def test_a_link_of_somebody_else_that_leads_out_is_not_followed(real: str, words: str):
    """Root would give away its target."""
    link = f"{STORE}/unet"
    states = {STORE: state(), link: state("link", real=real, planted="anna /vol/models/unet")}
    found = destination(link, [STORE, link], states)
    assert words in refusal(found)
    below = destination(f"{link}/sub", [STORE, f"{link}/sub"], states)
    assert refusal(below) != ""


def test_a_store_that_was_planted_trusts_nothing_within():
    """The link of the store itself decides where everything is."""
    states = {
        STORE: state("link", real="/home/anna/m", planted="anna /vol/models"),
        f"{STORE}/vae": state(real="/home/anna/m/vae", planted="anna /vol/models"),
    }
    assert destination(f"{STORE}/vae", [STORE], states).planted == "anna /vol/models"


def test_not_even_root_leads_a_run_to_a_folder_of_the_system():
    """It is a mistake. Our own folders there may have been moved within the system."""
    assert destination("/srv/m", [], {"/srv/m": state("link", real="/usr/share")}).system
    assert destination("/srv/m", [], {"/srv/m": state("link", real="/mnt")}).system
    assert not destination("/etc/docker", [], {"/etc/docker": state("link", real="/etc/d")}).system
    assert not destination("/srv/m", [], {"/srv/m": state("link", real="/mnt/disk")}).system


def test_the_folders_above_a_path():
    """Without the root folder."""
    assert above("/a/b/c") == ["/a/b", "/a"]
    assert above("/a") == []
