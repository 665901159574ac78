"""Mounts: their places and layers, in the order of the kernel."""

from __future__ import annotations

import pytest

from workstation.mounts import mountinfo

# Written by Debian 13's kernel: a share over systemd's automounter, a disk, a bind mount of a
# folder, a mount with a space in its name, and a hidden one.
TEXT = r"""
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
24 28 0:22 / /proc rw,nosuid shared:5 - proc proc rw
49 28 0:44 / /mnt/ki_Daten rw,relatime shared:90 - autofs systemd-1 rw,fd=54,pgrp=1,direct
55 49 0:50 / /mnt/ki_Daten rw,relatime shared:91 - cifs //nas/KI\040Daten rw,vers=3.1.1,uid=2000
56 28 259:1 /models /vol/models rw,relatime - ext4 /dev/nvme0n1p1 rw
57 28 0:60 / /mnt/a\134b rw - tmpfs none rw
58 28 0:61 / /srv/x rw - tmpfs hidden rw
59 28 0:62 / /srv ro,relatime - tmpfs above rw,size=4k
not a line
60 28 0:63 / /srv/x/y ro
"""
ALL = mountinfo.parse(TEXT)


def layers(mounts: list[mountinfo.Mount], path: str) -> list[mountinfo.Mount]:
    return [mount for mount in mountinfo.passed(mounts, path) if mount.target == path]


def test_lines_are_read_and_others_left_out():
    """Spaces and backslashes are in octal; options are those of the mount and of the file
    system."""
    assert len(ALL) == 8
    share = next(one for one in ALL if one.kind == "cifs")
    assert (share.source, share.root, share.options[:3]) == (
        "//nas/KI Daten",
        "/",
        ("rw", "relatime", "rw"),
    )
    assert next(one for one in ALL if one.kind == "tmpfs").target == "/mnt/a\\b"


def test_layers_are_told_from_below():
    """The automounter stays below its own mount."""
    found = layers(ALL, "/mnt/ki_Daten")
    assert [one.kind for one in found] == ["autofs", "cifs"]
    assert layers(ALL, "/mnt") == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/mnt/ki_Daten/ComfyUI", "//nas/KI Daten"),
        ("/mnt/ki_Daten2", "/dev/vda"),
        ("/vol/models/vae", "/dev/nvme0n1p1"),
        ("/proc", "proc"),
        ("/", "/dev/vda"),
        ("/srv/x", "above"),
    ],
)
def test_the_last_one_passed_holds_a_path(path: str, source: str):
    """A mount that is hidden by a mount on a folder above does not count."""
    assert mountinfo.passed(ALL, path)[-1].source == source


def test_of_two_roots_the_upper_one_counts():
    """For example below a replaced root; the lower one is hidden."""
    lower = "2 1 0:2 / / rw - ext4 lower rw\n3 2 0:3 / /mnt rw - tmpfs hidden rw\n"
    both = mountinfo.parse(f"{lower}4 1 0:4 / / rw - ext4 upper rw\n")
    assert [one.source for one in mountinfo.passed(both, "/mnt/x")] == ["upper"]


def test_a_bind_mount_shows_which_folder_it_is_of():
    """Like findmnt does."""
    assert layers(ALL, "/vol/models")[0].shown == "/dev/nvme0n1p1[/models] (ext4)"


def test_a_list_of_nothing_holds_nothing():
    """For example, from a host that reports nothing."""
    assert mountinfo.passed(mountinfo.parse(""), "/mnt") == []


def test_what_mount_remembers_of_a_mountpoint():
    """The options for user space of the last mount there, and not those of others."""
    text = (
        "SRC=//nas/a TARGET=/mnt/ki_Daten ROOT=/ OPTS=_netdev,x-ai-workstation=old\n"
        "SRC=//nas/KI\\040Daten TARGET=/mnt/ki_Daten ROOT=/ OPTS=_netdev,x-ai-workstation=new\n"
        "SRC=/dev/vdb TARGET=/mnt/ki\\040Daten ROOT=/ OPTS=x-other\n"
    )
    assert mountinfo.remembered(text, "/mnt/ki_Daten") == ("_netdev", "x-ai-workstation=new")
    assert mountinfo.remembered(text, "/mnt/ki Daten") == ("x-other",)
    assert mountinfo.remembered(text, "/mnt") == ()
