"""daemon.json: our keys are merged in, and other people's keys stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workstation.docker.daemon_json import DaemonJsonError, merge

WANTED: dict[str, Any] = {
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "live-restore": True,
    "insecure-registries": ["192.168.0.5"],
}


@pytest.mark.parametrize("current", [None, b"", b"  \n", b"{}", b"null", b"\xef\xbb\xbf{}"])
def test_an_absent_or_empty_file_gets_what_is_wanted(current: bytes | None):
    """Indented for readability, with a newline at its end."""
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
    """Its format, order and line ends are up to its owner."""
    assert merge(current, WANTED) == current


def test_a_second_merge_changes_nothing():
    """The output of the first merge needs no change, byte for byte."""
    once = merge(b'{"bip": "10.9.0.1/16", "log-opts": {"tag": "x"}}', WANTED)
    assert merge(once, WANTED) == once


def test_nothing_wanted_changes_nothing():
    """Preflight checks that way whether a file can be merged into."""
    assert merge(b'{"a" : 1}', {}) == b'{"a" : 1}'
    assert merge(b"", {}) == b""


def test_objects_are_merged_into_their_depth():
    """Keys next to ours stay, at every level."""
    current = {
        "builder": {"gc": {"enabled": True, "policy": ["a"]}},
        "features": {"buildkit": True},
    }
    wanted = {"builder": {"gc": {"enabled": False}}, "features": {"cdi": True}}
    assert json.loads(merge(json.dumps(current).encode(), wanted)) == {
        "builder": {"gc": {"enabled": False, "policy": ["a"]}},
        "features": {"buildkit": True, "cdi": True},
    }


@pytest.mark.parametrize(
    "theirs", [{"path": "/opt/nvidia"}, {"runtimeType": "io.containerd.runc.v2"}, {"path": "x"}]
)
def test_a_runtime_of_the_same_name_is_its_owners(theirs: dict[str, str]):
    """A mixture of theirs and ours would be a third one that nobody has tested."""
    current = json.dumps({"runtimes": {"nvidia": theirs, "crun": {"path": "crun"}}}).encode()
    wanted = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
    assert merge(current, wanted) == current
    merged = json.loads(merge(b'{"runtimes": {"crun": {"path": "crun"}}}', wanted))
    assert merged["runtimes"] == {"crun": {"path": "crun"}, **wanted["runtimes"]}


def test_a_file_of_windows_editors_is_read_as_docker_reads_it():
    """With a byte order mark, also in UTF-16; the text stays unchanged."""
    for encoding in ("utf-8-sig", "utf-16"):
        current = '{"labels": ["ort=Köln"]}'.encode(encoding)
        assert merge(current, {}) == current
        merged = merge(current, {"debug": True})
        assert merged.decode() == '{\n  "labels": [\n    "ort=Köln"\n  ],\n  "debug": true\n}\n'


def test_lists_gain_what_they_lack_behind_what_they_have():
    """Nothing is removed, and nothing is duplicated."""
    merged = merge(b'{"insecure-registries": ["z:1", "192.168.0.5", "a:2"]}', WANTED)
    assert json.loads(merged)["insecure-registries"] == ["z:1", "192.168.0.5", "a:2"]
    merged = merge(b'{"insecure-registries": ["z:1"]}', WANTED)
    assert json.loads(merged)["insecure-registries"] == ["z:1", "192.168.0.5"]


@pytest.mark.parametrize("value", ["null", "[]", '"text"', "5"])
def test_a_value_of_another_kind_is_replaced(value: str):
    """dockerd itself would reject it."""
    merged = json.loads(merge(f'{{"log-opts": {value}, "mtu": 1400}}'.encode(), WANTED))
    assert merged["log-opts"] == WANTED["log-opts"]
    assert merged["mtu"] == 1400


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (b"{", "it is not JSON"),
        (b'{"a": 1,}', "it is not JSON"),
        (b"// comment\n{}", "it is not JSON"),
        (b'{"a": "\xff\xfe"}', "its byte 8 is not valid UTF-8"),
        (b'{"a": 1, "a": 2}', "it contains the key a twice"),
        (b'{"features": {"a": true, "a": true}}', "it contains the key a twice"),
        (b"[]", "it is not a JSON object"),
        (b'["192.168.0.5"]', "it is not a JSON object"),
        (b'"text"', "it is not a JSON object"),
    ],
)
def test_a_file_that_is_no_object_is_refused(current: bytes, reason: str):
    """The reason fits into a sentence, and the file is not overwritten."""
    with pytest.raises(DaemonJsonError) as caught:
        merge(current, WANTED)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_the_wanted_value_itself_stays_as_it_was():
    """Two hosts are given the same dictionary."""
    wanted = json.loads(json.dumps(WANTED))
    merge(b'{"insecure-registries": ["z:1"], "log-opts": {"tag": "x"}}', wanted)
    assert wanted == WANTED
