"""The inputs of the images' locks."""

from __future__ import annotations

import yaml

from lab import locks
from workstation.mirror import Mirror
from workstation.pins import Source

UPSTREAM = """\
# a comment
torch
-e .
git+https://github.com/a/b.git

gradio==4.0  # why
"""


def test_upstreams_requirements_without_what_is_left_out_and_with_ours():
    """Comments and blank lines are removed; the rest of a line stays."""
    inputs = locks.Inputs(without=["-e .", "git+https://github.com/a/b"], packages=["joblib"])
    assert locks.requirements(inputs, [UPSTREAM]) == "torch\ngradio==4.0  # why\njoblib\n"


def test_nothing_is_left_out_unless_said():
    """An empty list of beginnings matches no line."""
    assert locks.requirements(locks.Inputs(), ["-e .\n"]) == "-e .\n"


def test_what_binds_pytorch_and_cuda():
    """The lines that images on the base must not change."""
    lock = "# x\nnumpy==1\nnvidia-cublas-cu12==2\ntorch==3\ntorchvision==4\ntriton==5\n"
    expected = "nvidia-cublas-cu12==2\ntorch==3\ntorchvision==4\ntriton==5\n"
    assert locks.of_pytorch(lock) == expected


def test_a_file_of_a_source_is_read_at_the_pinned_commit():
    """From the mirror, if there is one."""
    source = Source(url="https://github.com/a/b.git", commit="ab" * 20, version="1")
    path = f"raw.githubusercontent.com/a/b/{'ab' * 20}/r.txt"
    assert locks.raw_url(source, "r.txt", Mirror()) == f"https://{path}"
    assert locks.raw_url(source, "r.txt", Mirror(http="http://m")) == f"http://m/{path}"


def test_every_image_with_a_lock_has_its_inputs():
    """And every entry has its lock."""
    entries = yaml.safe_load(locks.INPUTS.read_text())
    assert set(entries) == {path.parent.name for path in locks.STACKS.glob("*/*/requirements.lock")}
    for entry in entries.values():
        locks.Inputs.model_validate(entry)
