"""apt's sources, parsed here and by the real apt: both must get the same result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.repositories import MISSING, Root, root
from workstation.apt.failures import broken_sources
from workstation.apt.sources import Entry, parse, same_repository, same_suite, shown

needs_apt = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing")

LIST = """\
# deb https://commented.example/a noble main
deb https://plain.example/a noble main universe   # a comment
deb [arch=amd64 signed-by=/k/a.gpg] https://brackets.example/a/ noble main
deb [ arch=amd64,arm64  trusted=yes ] http://blanks.example/a noble main
	deb	[signed-by=/k/a.gpg,/k/b.gpg]	https://tabs.example/a	noble	main
deb-src [signed-by=/k/a.gpg] https://source.example/a noble main
deb [signed-by=9DC858229FC7DD38854AE2D88D81803C0EBFCD88] https://finger.example/a noble main
deb [signed-by=/k/a.gpg] https://flat.example/stable/deb/$(ARCH) /
deb [signed-by=/k/a.gpg] https://flat.example/other ./
deb [signed-by=/k/a.gpg] https://flat.example/folder noble/
deb [lang=de] "https://quoted.example/a b" noble main
deb mirror+file:/etc/apt/mirrors noble main
deb file:/srv/repository ./
deb cdrom:[Ubuntu-Server 24.04 LTS #1 (20240423)]/ noble main restricted
deb [arch-=amd64] https://without.example/a noble main
deb https://user:secret@login.example/a noble main#glued

"""

SOURCES = """\
# comment

Types: deb deb-src
URIs: https://one.example/a https://two.example/a/
 https://three.example/a
Suites: noble noble-updates
# a comment inside
Components: main universe
Signed-By: /k/a.gpg
Architectures: amd64 arm64

Enabled: no
Types: deb
URIs: https://disabled.example/a
Suites: noble
Components: main

types: deb
uris: https://lower.example/a
suites: noble
components: main
X-Repolib-Name: PPA
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ3
 =abcd
 -----END PGP PUBLIC KEY BLOCK-----
Enabled: yes

Types: deb
URIs: https://flat.example/stable/deb/$(ARCH)
Suites: /
Trusted: yes
"""


def bases(entries: list[Entry]) -> set[str]:
    return {entry.base for entry in entries}


@needs_apt
@pytest.mark.parametrize(("name", "text"), [("sources.list", LIST), ("a.sources", SOURCES)])
def test_apt_asks_for_the_same_addresses(tmp_path: Path, name: str, text: str):
    """The addresses of its Release files, which it prints without contacting a server."""
    made = root(tmp_path / "root")
    file = made.source(name, text)
    said = made.apt("update", "--print-uris")
    assert said.returncode == 0, said.stderr
    asked = set(re.findall(r"^'(.*)InRelease'", said.stdout, re.M))
    found = bases(parse(str(file), text, "amd64"))
    assert {re.sub(r"cdrom:\[(.*)\]", r"cdrom://\1", base) for base in found} == asked
    assert len(asked) > 5


@needs_apt
@pytest.mark.parametrize(("name", "text"), [("sources.list", LIST), ("a.sources", SOURCES)])
def test_apt_sees_the_same_keyrings(tmp_path: Path, name: str, text: str):
    """apt shows them when a second entry names another one."""
    made = root(tmp_path / "root")
    file = made.source(name, text)
    entries = [one for one in parse(str(file), text, "amd64") if one.signed_by]
    assert len(entries) > 3
    for entry in entries:
        second = f'deb [signed-by=/other.gpg] "{entry.uri}" {entry.suite} main\n'
        made.source("z.list", second.replace(" main", "") if entry.suite[-1] == "/" else second)
        said = made.apt("update", "--print-uris").stderr
        assert "Conflicting values set for option Signed-By" in said
        # apt prints the empty line that the dot stands for.
        words = [word for word in entry.signed_by.split() if word != "."]
        assert " ".join(words) in " ".join(said.split())


def conflict(made: Root, one: str, other: str) -> bool:
    made.source("a.list", f"deb [signed-by=/a.gpg] {one}\n")
    made.source("b.list", f"deb [signed-by=/b.gpg] {other}\n")
    return "Conflicting values" in made.apt("update", "--print-uris").stderr


@needs_apt
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://x.example/a", "https://x.example/a/"),
        ("https://x.example/a", "http://x.example/a"),
        ("https://x.example/a", "https://user:secret@x.example/a"),
        ("https://x.example/a", "https://x.example/b"),
        ("https://x.example/a", "https://y.example/a"),
    ],
)
def test_a_repository_is_the_same_where_apt_takes_it_for_the_same(
    tmp_path: Path, one: str, other: str
):
    """Without scheme, user and a slash at the end."""
    made = root(tmp_path / "root")
    found = conflict(made, f"{one} noble main", f"{other} noble main")
    assert same_repository(one, other) is found


def test_other_spellings_of_one_address_are_one_repository():
    """apt treats them as two."""
    for other in ("https://X.example/a", "https://x.example:443/a", "https://x.example//a/"):
        assert same_repository("https://x.example/a", other)
    assert not same_repository("https://x.example:8443/a", "https://x.example/a")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("noble", "noble", True),
        ("/", "./", True),
        ("noble", "noble-updates", False),
        ("noble", "noble/", False),
        ("a/b", "./a/b", True),
    ],
)
def test_suites(one: str, other: str, same: bool):
    """A flat repository can be written in two ways."""
    assert same_suite(one, other) is same


def test_options_are_read():
    """They have short names in brackets."""
    found = {one.uri: one for one in parse("/etc/apt/sources.list", LIST, "amd64")}
    brackets = found["https://brackets.example/a/"]
    assert (brackets.place, brackets.keyrings) == ("/etc/apt/sources.list:3", ("/k/a.gpg",))
    assert found["https://tabs.example/a"].keyrings == ("/k/a.gpg", "/k/b.gpg")
    assert found["https://finger.example/a"].keyrings == ()
    assert found["http://blanks.example/a"].unchecked
    assert not brackets.unchecked


@pytest.mark.parametrize(
    ("text", "serves"),
    [
        ("deb https://x.example/a noble stable", True),
        ("deb https://x.example/a noble test stable", True),
        ("deb https://x.example/a noble test", False),
        ("deb-src https://x.example/a noble stable", False),
        ("deb [arch=amd64,arm64] https://x.example/a noble stable", True),
        ("deb [arch=arm64] https://x.example/a noble stable", False),
        ("deb [arch+=arm64] https://x.example/a noble stable", True),
        ("deb [arch-=amd64] https://x.example/a noble stable", False),
    ],
)
def test_what_an_entry_serves(text: str, serves: bool):
    """Architecture and components; an entry for sources only serves no packages."""
    (entry,) = parse("/a.list", text, "amd64")
    assert entry.serves("amd64", ("stable",)) is serves


@pytest.mark.parametrize(
    "text",
    [
        "deb",
        "deb https://x.example/a",
        "deb https://x.example/a noble",
        "deb [x",
        "rpm a b c",
        "\0",
    ],
)
def test_what_apt_cannot_read_is_no_entry(text: str):
    """apt says so itself, and rejects all of its sources."""
    assert parse("/a.list", text, "amd64") == []
    assert parse("/a.sources", text, "amd64") == []
    assert parse("/a.sources", f"Types: deb\nURIs:\nSuites: noble\n{text}", "amd64") == []


def test_a_password_in_an_address_is_not_shown():
    assert shown("E: https://anna:secret@x.example/a noble") == "E: https://x.example/a noble"


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("Connection failed [IP: 127.0.0.8 40117]", "can reach that server"),
        ("Connection failed [IP: 192.0.2.1 404]", "can reach that server"),
        ("401  Unauthorized [IP: 192.0.2.1 50380]", "requires a login"),
        ("503  Service Unavailable [IP: 192.0.2.1 40117]", "can reach that server"),
        (
            "File has unexpected size (40371 != 5021). Mirror sync in progress?",
            "mirror has finished",
        ),
    ],
)
def test_a_port_is_no_status(said: str, helps: str):
    """Neither is any other number in apt's message."""
    failed = f"E: Failed to fetch http://mirror.example/ubuntu/dists/noble/InRelease  {said}"
    (one,) = broken_sources([failed], [])
    assert helps in one.fix
