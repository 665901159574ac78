"""Parse apt's sources in the same way as apt (``sources.list(5)``, both formats)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# apt-pkg/contrib/strutl.cc, StringToBool.
_NO = ("no", "false", "without", "off", "disable", "0")
_YES = ("yes", "true", "with", "on", "enable", "1")

# Options with a longer name in deb822 than in brackets.
_LONG = {"arch": "architectures", "lang": "languages", "target": "targets"}

_OPTION = re.compile(r"([a-z-]+?)([+-]?)=(\S*)", re.IGNORECASE)

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Entry:
    """One repository of an entry; an entry with several URIs and suites yields several of these.

    ``file``, ``line``: where it begins; ``kind``: ``deb`` or ``deb-src``; ``uri``, ``suite``: with
    ``$(ARCH)`` replaced; ``options``: by their deb822 names in lower case, with a trailing ``+`` or
    ``-`` if they add to or remove from the default. ``signed_by`` is the raw value: paths,
    fingerprints, or the lines of a key.
    """

    file: str
    line: int
    kind: str
    uri: str
    suite: str
    components: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def place(self) -> str:
        """File and line, for people."""
        return f"{self.file}:{self.line}"

    @property
    def signed_by(self) -> str:
        return self.options.get("signed-by", "")

    @property
    def keyrings(self) -> tuple[str, ...]:
        """The paths of its keyrings; none if it names fingerprints or contains a key."""
        parts = re.split(r"[,\s]+", self.signed_by)
        return tuple(parts) if all(part.startswith("/") for part in parts) else ()

    @property
    def unchecked(self) -> bool:
        """Whether apt is configured to accept it without a valid signature."""
        names = ("trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure")
        return any(self.options.get(name, "").lower() in _YES for name in names)

    @property
    def base(self) -> str:
        """The address below which apt requests its files."""
        flat = self.suite.endswith("/")
        below = self.suite.removeprefix("/") if flat else f"dists/{self.suite}/"
        return f"{self.uri.rstrip('/')}/{below}"

    def serves(self, architecture: str, components: tuple[str, ...]) -> bool:
        """Whether it provides packages of this architecture and of all these components."""
        named = re.split(r"[,\s]+", self.options.get("architectures", ""))
        without = re.split(r"[,\s]+", self.options.get("architectures-", ""))
        return (
            self.kind == "deb"
            and (named == [""] or architecture in named)
            and architecture not in without
            and set(components) <= set(self.components)
        )


def parse(file: str, text: str, architecture: str) -> list[Entry]:
    """Return the active entries of one file. Malformed ones are skipped; apt reports them itself.

    + file: its path, whose suffix determines the format
    + architecture: of the host, as dpkg names it
    """
    read = _stanzas if file.endswith(".sources") else _lines
    return [
        Entry(
            file,
            line,
            kind,
            uri.replace("$(ARCH)", architecture),
            suite.replace("$(ARCH)", architecture),
            tuple(components),
            options,
        )
        for line, kinds, uris, suites, components, options in read(text)
        for kind in kinds
        if kind in ("deb", "deb-src")
        for uri in uris
        for suite in suites
        if components or suite.endswith("/")
    ]


_Raw = tuple[int, list[str], list[str], list[str], list[str], dict[str, str]]


def _lines(text: str) -> Iterator[_Raw]:
    """Yield the entries of the one-line format."""
    for number, line in enumerate(text.split("\n"), 1):
        # Brackets contain options, or the name of a disc; # and spaces have no special meaning in
        # them (apt-pkg/sourcelist.cc).
        match = re.match(r"\s*(\S+)\s+(?:\[([^\]]*)\]\s*)?((?:\[[^\]]*\]|[^#\[])*)", line)
        if not match or match[1].startswith("#"):
            continue
        options = {}
        for name, sign, value in _OPTION.findall(match[2] or ""):
            name = _LONG.get(name.lower(), name.lower())
            options[name + sign] = value
        words = [_unquoted(word) for word in re.findall(r'(?:"[^"]*"|\[[^\]]*\]|\S)+', match[3])]
        if len(words) > 1:
            yield number, [match[1]], words[:1], words[1:2], words[2:], options


def _unquoted(word: str) -> str:
    return word.replace('"', "")


def _stanzas(text: str) -> Iterator[_Raw]:
    """Yield the entries of the deb822 format."""
    fields: dict[str, str] = {}
    start, name = 0, ""
    for number, line in enumerate([*text.replace("\r", "").split("\n"), ""], 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields and fields.get("enabled", "yes").strip().lower() not in _NO:
                words = {key: value.split() for key, value in fields.items()}
                yield (
                    start,
                    words.get("types", []),
                    words.get("uris", []),
                    words.get("suites", []),
                    words.get("components", []),
                    {key: value.strip("\n") for key, value in fields.items()},
                )
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line
        else:
            name, _, value = line.partition(":")
            name = re.sub("-remove$", "-", re.sub("-add$", "+", name.strip().lower()))
            start = start if fields else number
            fields[name] = value.strip()


def same_repository(one: str, other: str) -> bool:
    """Whether two addresses belong to the same repository.

    apt names its lists without scheme and user, so it treats ``http`` and ``https`` as the same.
    """
    return _identity(one) == _identity(other)


def _identity(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2].lower()
    host = host.removesuffix(f":{_PORTS.get(parts.scheme)}")
    return host, re.sub("/+", "/", f"{parts.path}/")


def same_suite(one: str, other: str) -> bool:
    """Whether two suites are the same; ``./`` and ``/`` both mean the folder itself."""
    return one.removeprefix("./").strip("/") == other.removeprefix("./").strip("/") and (
        one.endswith("/") == other.endswith("/")
    )


def shown(uri: str) -> str:
    """Return an address without the credentials that it may contain."""
    return re.sub(r"//[^/@]*@", "//", uri)
