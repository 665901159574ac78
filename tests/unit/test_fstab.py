"""fstab: one entry is corrected, all others stay byte for byte."""

from __future__ import annotations

import pytest

from workstation.errors import UserError
from workstation.mounts.fstab import Entry, FstabError, decode, encode, escape, parse, with_entry

SHARE = Entry("//nas/ki_Daten", "/mnt/ki_Daten", "cifs", "credentials=/etc/c,vers=3.1.1,_netdev")
LINE = "//nas/ki_Daten /mnt/ki_Daten cifs credentials=/etc/c,vers=3.1.1,_netdev 0 0\n"

# Written by Ubuntu's installer, with a tab and an indented comment added by hand.
UBUNTU = """\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
/dev/disk/by-uuid/0b6c0c2e-9d5f-4a9e-8f5e-2f4a6f0a3f11 / ext4 defaults 0 1
UUID=5C3E-1A2B\t/boot/efi\tvfat\tumask=0077\t0\t1
   # //nas/ki_Daten /mnt/ki_Daten cifs guest 0 0

/swap.img\tnone\tswap\tsw\t0\t0
"""


def test_an_entry_is_appended_behind_all_others():
    """Every existing line stays as it was, including comments, tabs and blank lines."""
    assert with_entry(UBUNTU, SHARE) == UBUNTU + LINE


def test_a_file_without_a_final_newline_keeps_its_last_line():
    """The new entry starts on its own line."""
    text = UBUNTU.removesuffix("\n")
    assert with_entry(text, SHARE) == UBUNTU + LINE


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment"])
def test_an_empty_file_gets_the_entry_alone(text: str):
    """The existing content is extended, not replaced."""
    expected = text if not text or text.endswith("\n") else text + "\n"
    assert with_entry(text, SHARE) == expected + LINE


def test_a_second_run_changes_nothing():
    """The output of the first run is recognized."""
    once = with_entry(UBUNTU, SHARE)
    assert with_entry(once, SHARE) == once


@pytest.mark.parametrize(
    "line",
    [
        LINE.removesuffix("\n"),
        LINE.replace(" ", "\t"),
        LINE.replace(" 0 0", ""),
        LINE.replace(" 0 0\n", " 0 0  # by hand\n"),
        "  " + LINE,
    ],
)
def test_the_same_entry_written_otherwise_is_left_alone(line: str):
    """Tabs, missing dump and pass fields, or a missing newline are no difference."""
    assert with_entry(UBUNTU + line, SHARE) == UBUNTU + line


def test_an_older_entry_is_corrected_in_its_place():
    """The order of lines is the order of mounting."""
    old = "//nas/alt\t/mnt/ki_Daten\tcifs\tguest,vers=1.0\t0 0\n"
    tmpfs = "tmpfs /tmp tmpfs defaults 0 0\n"
    assert with_entry(old + tmpfs, SHARE) == LINE + tmpfs


def test_a_corrected_last_line_without_newline_gets_one():
    """A rewritten line is always complete."""
    assert with_entry("//nas/x /mnt/ki_Daten cifs guest 0 0", SHARE) == LINE


@pytest.mark.parametrize("first", [LINE, "//nas/ki_Daten /mnt/ki_Daten smb3 guest 0 0\n"])
def test_a_second_entry_of_the_mountpoint_is_removed(first: str):
    """A mountpoint has one entry, at the place of the first one."""
    text = "proc /proc proc defaults 0 0\n" + first + UBUNTU + LINE.replace("_netdev", "guest")
    assert with_entry(text, SHARE) == "proc /proc proc defaults 0 0\n" + LINE + UBUNTU


def test_the_same_share_on_another_mountpoint_is_somebodys_own():
    """It is neither corrected nor treated as the entry."""
    other = "//nas/ki_Daten /home/anna/share cifs user,noauto 0 0\n"
    assert with_entry(other, SHARE) == other + LINE


def test_a_mountpoint_that_only_begins_alike_is_another():
    """Neither a longer path nor a folder below it counts."""
    others = "//nas/a /mnt/ki_Daten2 cifs guest 0 0\n//nas/b /mnt/ki_Daten/b cifs guest 0 0\n"
    assert with_entry(others, SHARE) == others + LINE


@pytest.mark.parametrize(
    ("source", "kind"), [("nas:/export/ki", "nfs4"), ("UUID=1-2", "ext4"), ("/srv", "none")]
)
def test_a_foreign_mount_on_the_mountpoint_is_an_error(source: str, kind: str):
    """It is named, with both fixes, and nothing is overwritten."""
    with pytest.raises(FstabError) as caught:
        with_entry(f"{UBUNTU}{source} /mnt/ki_Daten {kind} defaults 0 0\n", SHARE)
    message = str(caught.value)
    assert isinstance(caught.value, UserError)
    assert message.startswith(f"/etc/fstab mounts {source} ({kind}) on /mnt/ki_Daten")
    assert "set SMB_MOUNT to another folder" in message


def test_a_mountpoint_with_a_trailing_slash_is_the_same():
    """mount(8) treats both as one folder, so a second entry would mount over the first."""
    assert with_entry("//nas/alt /mnt/ki_Daten/ cifs guest 0 0\n", SHARE) == LINE


def test_windows_line_ends_of_others_stay():
    """A file edited on another system is not rewritten."""
    text = "tmpfs /tmp tmpfs defaults 0 0\r\n"
    assert with_entry(text, SHARE) == text + LINE


def test_fields_are_escaped_as_the_kernel_does():
    """Spaces, tabs, newlines and backslashes in octal, and nothing twice (fstab(5))."""
    assert escape("//nas/KI Daten") == r"//nas/KI\040Daten"
    assert escape("a\tb\nc\\d") == r"a\011b\012c\134d"
    assert escape("Übung#1,%") == "Übung#1,%"


def test_an_escaped_entry_is_one_entry():
    """It is read back exactly as it was written."""
    share = Entry(escape("//nas/KI Daten"), escape("/mnt/KI Daten"), "cifs", "guest")
    assert parse(share.line()) == share
    assert with_entry(share.line() + "\n", share) == share.line() + "\n"


@pytest.mark.parametrize(
    "line", ["", "   \t", "# //nas/x /mnt cifs guest", "#x /a b c", "a", "\r\n"]
)
def test_lines_that_are_no_entry(line: str):
    """Comments, blank and incomplete lines are left to their owner."""
    assert parse(line) is None


# How systemd's generator and mount(8) read unusual lines was tested with both.


@pytest.mark.parametrize("rest", ["cifs", "cifs\r", "cifs guest", "smb3 guest,ro 0", ""])
def test_a_short_line_is_an_entry(rest: str):
    """systemd mounts it, and would ignore a second entry for the same mountpoint."""
    text = f"//nas/alt /mnt/ki_Daten {rest}\n"
    assert with_entry(text, SHARE) == LINE


def test_fields_are_parted_by_blanks_and_tabs_alone():
    """Not by other characters that Python treats as spaces or line ends."""
    text = "tmpfs /a\xa0b tmpfs x=1\x0b2\x85\u2028 0 0\n//nas/alt /mnt/ki_Daten cifs a\xa0b 0 0\n"
    assert with_entry(text, SHARE) == text.partition("//")[0] + LINE
    assert parse("//nas/x\xa0y /mnt/z cifs guest") == Entry(
        "//nas/x\xa0y", "/mnt/z", "cifs", "guest"
    )


@pytest.mark.parametrize("target", ["/mnt//ki_Daten", "/mnt/./ki_Daten/", "/mnt/ki\\137Daten"])
def test_the_same_mountpoint_written_otherwise(target: str):
    """According to mount(8) and systemd."""
    assert with_entry(f"//nas/alt {target} cifs guest 0 0\n", SHARE) == LINE


def test_a_mountpoint_that_is_named_by_a_link_is_the_same():
    """The host reports which lines do so."""
    text = "tmpfs /tmp tmpfs defaults 0 0\n//nas/alt /srv/daten cifs guest 0 0\n"
    assert with_entry(text, SHARE, linked=[2]) == "tmpfs /tmp tmpfs defaults 0 0\n" + LINE
    foreign = text.replace("cifs", "nfs4")
    with pytest.raises(FstabError, match="on /srv/daten"):
        with_entry(foreign, SHARE, linked=[2])


def test_a_source_in_another_case_is_the_same_share():
    """An existing line of this kind is left alone."""
    text = LINE.replace("//nas/ki_Daten", "//NAS/KI_Daten/")
    assert with_entry(text, SHARE) == text


@pytest.mark.parametrize("rest", ["# by hand", "0 # by hand"])
def test_a_comment_where_numbers_belong_is_corrected(rest: str):
    """mount(8) ignores such a line, but systemd does not."""
    assert with_entry(LINE.replace(" 0 0\n", f" {rest}\n"), SHARE) == LINE


def test_bytes_that_are_no_utf8_survive():
    """A comment in Latin-1, a share in another encoding; our line is found."""
    old = b"# B\xfcro \x85\r\n//nas/B\xfcro /mnt/b cifs guest 0 0\n\xff\xfe"
    new = encode(with_entry(decode(old), SHARE))
    assert new == old + b"\n" + LINE.encode()
    assert encode(with_entry(decode(new), SHARE)) == new


def test_bytes_that_are_no_utf8_can_be_printed():
    """Also in an error."""
    text = decode(b"nas:/B\xfcro /mnt/ki_Daten nfs4 defaults 0 0\n")
    with pytest.raises(FstabError) as caught:
        with_entry(text, SHARE)
    assert str(caught.value).encode().startswith(rb"/etc/fstab mounts nas:/B\xfcro (nfs4) on")


def test_umlauts_of_a_share_are_written_as_utf8():
    """They are found again."""
    share = Entry("//nas/Büro", "/mnt/ki_Daten", "cifs", "guest")
    once = encode(with_entry("", share))
    assert once == "//nas/Büro /mnt/ki_Daten cifs guest 0 0\n".encode()
    assert encode(with_entry(decode(once), share)) == once
