"""Mount options of the share: those that the kernel gets, and whether a mount has them."""

from __future__ import annotations

import pytest

from workstation.mounts import cifs

# From the kernel of Debian 13 (6.12), for mounts by mount.cifs 7.4.
LINE = (
    "rw,relatime,rw,vers=3.1.1,cache=strict,upcall_target=app,username=d3,uid=2000,forceuid,"
    "gid=2000,forcegid,addr=192.168.0.6,file_mode=0664,dir_mode=0775,iocharset=utf8,soft,nounix,"
    "serverino,mapposix,reparse=nfs,rsize=4194304,wsize=4194304,bsize=1048576,echo_interval=60,"
    "actimeo=1,closetimeo=1"
)
SHOWN = LINE.split(",")
OURS = "credentials=/c,vers=3.1.1,uid=2000,gid=2000,forceuid,file_mode=0664,dir_mode=0775,_netdev"


def shown(**changes: str) -> list[str]:
    keep = [one for one in SHOWN if one.partition("=")[0] not in changes]
    return [*keep, *(f"{key}={value}" if value else key for key, value in changes.items())]


def test_the_kernel_is_given_what_is_not_for_user_space():
    """Like mount.cifs does: other options are for mount(8), systemd or mount.cifs itself, or are
    passed separately."""
    given = cifs.kernel(
        "rw,credentials=/c,username=anna,domain=D,vers=2.1,seal,uid=2000,port=4450,_netdev,nofail,"
        "x-systemd.automount,X-mount.mkdir,comment=x,noauto,users,sec=ntlmsspi,iocharset=utf8,"
    )
    expected = ["vers=2.1", "seal", "uid=2000", "port=4450", "sec=ntlmsspi", "iocharset=utf8"]
    assert given == expected


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("file_mode=777", "file_mode=0777"),
        ("dir_mode=0750", "dir_mode=0750"),
        ("fmask=0777", "file_mode=0777"),
        ("dmask=750", "dir_mode=0750"),
        ("file_mode=u+rw", "file_mode=u+rw"),
        ("addr=1.2.3.4", "ip=1.2.3.4"),
        ("seal", "seal"),
    ],
)
def test_options_are_written_as_they_are_meant(option: str, meant: str):
    """The kernel reads 777 as a decimal number and shows 01411; mount.cifs breaks fmask."""
    assert cifs.meant(option) == meant


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (OURS, {}),
        (OURS.replace("3.1.1", "3"), {}),
        (OURS.replace("3.1.1", "3"), {"vers": "3.0"}),
        (OURS.replace("3.1.1", "3"), {"vers": "3.02"}),
        (OURS.replace("3.1.1", "3.0.2"), {"vers": "3.02"}),
        (OURS.replace("3.1.1", "3.11"), {}),
        (OURS.replace("3.1.1", "default"), {"vers": "2.1"}),
        (OURS.replace("3.1.1", "2.1"), {"vers": "2.1"}),
        (OURS.replace("0664", "00664"), {}),
        (f"{OURS},rsize=99999999,wsize=1000,sec=ntlmssp,cache=loose,sign,port=4450", {}),
        (f"{OURS},iocharset=klingon,nosharesock,multichannel,unknown=1", {}),
        (f"{OURS},nobrl", {"nobrl": ""}),
        (f"{OURS},nobrl,brl,noperm,perm", {}),
        (OURS.replace("uid=2000", "uid=anna"), {}),
        (f"{OURS},vers=2.1", {"vers": "2.1"}),
        (OURS, {"vers": "4.0-to-come", "username": "other"} | {"vers": "3.1.1"}),
    ],
)
def test_a_mount_that_has_them_in_meaning_has_not_drifted(wanted: str, seen: dict[str, str]):
    """Options that server and kernel negotiate, and unknown ones, are no difference."""
    assert cifs.drift(wanted, shown(**seen)) == []


@pytest.mark.parametrize(
    ("wanted", "seen", "different"),
    [
        (OURS, {"vers": "3.0"}, ["vers=3.1.1"]),
        (OURS.replace("3.1.1", "3"), {"vers": "2.1"}, ["vers=3"]),
        (OURS.replace("3.1.1", "3.0"), {"vers": "3.02"}, ["vers=3.0"]),
        (OURS, {"uid": "0", "gid": "100"}, ["uid=2000", "gid=2000"]),
        (OURS, {"file_mode": "01411"}, ["file_mode=0664"]),
        (f"{OURS},seal,mfsymlinks", {"seal": ""}, ["mfsymlinks"]),
        (f"{OURS},nobrl,noperm", {}, ["nobrl", "noperm"]),
        (OURS, {"ro": ""}, ["rw"]),
    ],
)
def test_a_mount_that_has_drifted_is_told_in_what(
    wanted: str, seen: dict[str, str], different: list[str]
):
    """For example a mount that somebody made by hand."""
    assert cifs.drift(wanted, shown(**seen)) == different


def test_a_mount_that_shows_less_is_not_taken_for_another():
    """With Unix extensions, the kernel shows no modes."""
    assert cifs.drift(OURS, ["rw", "vers=3.1.1", "uid=2000", "gid=2000", "posix"]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("//nas/ki_Daten", "//NAS/KI_DATEN/"),
        ("//nas/Büro", "//nas/BÜRO"),
        ("\\\\nas\\ki_Daten", "//nas/ki_Daten"),
    ],
)
def test_names_of_shares_have_no_case(one: str, other: str):
    """A slash at the end does not matter either (MS-FSCC 2.1.6, mount.cifs(8))."""
    assert cifs.same_source(one, other)
    assert not cifs.same_source(one, f"{other}2")


def test_the_mark_tells_what_a_mount_was_made_with():
    """It depends on the kernel's options, not on those that systemd reads."""
    one = cifs.marked("//nas/ki", "credentials=/c,vers=3.1.1,nofail")
    assert one.startswith("credentials=/c,vers=3.1.1,nofail,x-ai-workstation=")
    mark = cifs.mark(one.split(","))
    assert len(mark) == 12
    same = ["credentials=/d,vers=3.1.1,x-systemd.mount-timeout=9s", "vers=3.1.1,_netdev"]
    for options in same:
        assert cifs.mark(cifs.marked("//NAS/ki", options).split(",")) == mark
    for source, options in (("//nas/ki", "vers=3.1.1,seal"), ("//nas/other", "vers=3.1.1")):
        assert cifs.mark(cifs.marked(source, options).split(",")) not in ("", mark)
    assert cifs.mark(("_netdev", "x-other=1")) == ""


def test_two_lines_of_fstab_for_the_same_mount():
    """In another order, and with other options for user space."""
    assert not cifs.changed("vers=3.0,file_mode=777,nofail", "file_mode=0777,vers=3.0,x-y=1")
    assert cifs.changed("vers=3.0", "vers=3.0,seal")
