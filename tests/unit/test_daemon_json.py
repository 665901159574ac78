"""daemon.json: our keys are merged in, somebody else's stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workstation.daemon_json import DaemonJsonError, merge

WANTED: dict[str, Any] = {
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "live-restore": True,
    "insecure-registries": ["192.168.0.5"],
}


@pytest.mark.parametrize("current", [None, b"", b"  \n", b"{}", b"\xef\xbb\xbf{}"])
def test_an_absent_or_empty_file_gets_what_is_wanted(current: bytes | None):
    """Indented for people, with a newline at its end."""
    content = merge(current, WANTED)
    assert json.loads(content) == WANTED
    assert content.endswith(b"}\n")
    assert b'\n  "live-restore": true' in content


@pytest.mark.parametrize(
    "current",
    [
        b'{"live-restore":true,"log-opts":{"max-file":"3","max-size":"10m","tag":"x"},'
        b'"insecure-registries":["a:5000","192.168.0.5"]}',
        b'{\r\n\t"insecure-registries": ["192.168.0.5"],\r\n\t"live-restore": true,\r\n'
        b'\t"log-opts": {"max-size": "10m", "max-file": "3"}\r\n}',
    ],
)
def test_a_file_that_holds_everything_comes_back_byte_for_byte(current: bytes):
    """Its form, order and line ends are its owner's."""
    assert merge(current, WANTED) == current


def test_a_second_merge_changes_nothing():
    """What the first wrote is found right, byte for byte."""
    once = merge(b'{"bip": "10.9.0.1/16", "log-opts": {"tag": "x"}}', WANTED)
    assert merge(once, WANTED) == once


def test_nothing_wanted_changes_nothing():
    """Preflight asks whether a file could be merged into."""
    assert merge(b'{"a" : 1}', {}) == b'{"a" : 1}'
    assert merge(b"", {}) == b""


def test_objects_are_merged_into_their_depth():
    """Neighbours of a wanted key stay, at every level."""
    current = {"runtimes": {"crun": {"path": "crun"}, "nvidia": {"path": "old", "env": ["A=1"]}}}
    wanted = {"runtimes": {"nvidia": {"path": "new", "args": []}}, "features": {"cdi": True}}
    assert json.loads(merge(json.dumps(current).encode(), wanted)) == {
        "runtimes": {
            "crun": {"path": "crun"},
            "nvidia": {"path": "new", "env": ["A=1"], "args": []},
        },
        "features": {"cdi": True},
    }


def test_lists_gain_what_they_lack_behind_what_they_have():
    """Nothing is dropped, nothing comes twice."""
    merged = merge(b'{"insecure-registries": ["z:1", "192.168.0.5", "a:2"]}', WANTED)
    assert json.loads(merged)["insecure-registries"] == ["z:1", "192.168.0.5", "a:2"]
    merged = merge(b'{"insecure-registries": ["z:1"]}', WANTED)
    assert json.loads(merged)["insecure-registries"] == ["z:1", "192.168.0.5"]


@pytest.mark.parametrize("value", ["null", "[]", '"text"', "5"])
def test_a_value_of_another_kind_is_replaced(value: str):
    """dockerd itself would refuse it."""
    merged = json.loads(merge(f'{{"log-opts": {value}, "mtu": 1400}}'.encode(), WANTED))
    assert merged["log-opts"] == WANTED["log-opts"]
    assert merged["mtu"] == 1400


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (b"{", "it is not JSON"),
        (b'{"a": 1,}', "it is not JSON"),
        (b"// comment\n{}", "it is not JSON"),
        (b'{"a": "\xff\xfe"}', "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'["192.168.0.5"]', "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b'"text"', "it is not a JSON object"),
    ],
)
def test_a_file_that_is_no_object_is_refused(current: bytes, reason: str):
    """The reason fits into a sentence, and what is wanted is not written over it."""
    with pytest.raises(DaemonJsonError) as caught:
        merge(current, WANTED)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_the_wanted_value_itself_stays_as_it_was():
    """Two hosts are given the same dictionary."""
    wanted = json.loads(json.dumps(WANTED))
    merge(b'{"insecure-registries": ["z:1"], "log-opts": {"tag": "x"}}', wanted)
    assert wanted == WANTED
