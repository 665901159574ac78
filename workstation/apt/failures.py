"""Interpret apt's messages, in its C locale, and suggest fixes.

Pure: ``workstation.operations.packages`` runs apt and shows the results of these functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from workstation.apt.sources import Entry, shown

LISTS = "fetching package lists"
"""Line that ``files/packages/update.sh`` prints before each ``apt-get update``; the last counts."""

_DISABLE = "add `Enabled: no` in a .sources file, or # before the line in a .list file"

# apt-pkg/acquire-item.cc and apt-pkg/update.cc, 2.4 to 3.0. They show the address of a repository
# without its trailing slash.
_ABOUT_A_REPOSITORY = (
    re.compile(
        r"[EW]: (?:The repository|Repository) '(?P<uri>.+?) (?P<suite>\S+) \S+' (?P<said>.+)"
    ),
    re.compile(
        r"[EW]: (?:.* )?(?:GPG error|OpenPGP signature verification failed): "
        r"(?P<uri>\S+) (?P<suite>\S+) \S+: (?P<said>.+)"
    ),
)
_ABOUT_A_FILE = (
    re.compile(r"[EW]: (?P<what>Release file) for (?P<url>\S+) (?P<said>is .+)"),
    re.compile(r"[EW]: Failed to fetch (?P<url>\S+)\s*(?P<said>.*)"),
)

# apt's message -> fix; the first match counts.
_SOURCE_FIXES = (
    (
        r"EXPKEYSIG|KEYEXPIRED|key .*expired",
        "install its current signing key: the present one has expired",
    ),
    (
        r"NO_PUBKEY|[Mm]issing key|public key is not available|not signed|signature|BADSIG",
        "install its signing key again, as its maintainers describe",
    ),
    (r"is expired", "check the host's clock, or use another mirror of the source"),
    (r"not valid yet", "check the host's clock"),
    (
        r"does not have a Release file|no longer has a Release file|\b404\b",
        "correct its address or suite: the server does not have it, or no longer has it",
    ),
    (r"changed its", "accept the change once with `apt-get update --allow-releaseinfo-change`"),
    (
        r"Hash Sum mismatch|unexpected size|[Mm]irror sync",
        "wait until the mirror has finished updating",
    ),
    (r"Could not resolve|Temporary failure", "check that the host's name server knows that name"),
    (r"[Cc]ertificate|handshake|TLS|SSL", "check that the host trusts that server's certificate"),
    (r"\b40[137]\b", "check whether it requires a login (`/etc/apt/auth.conf.d`)"),
    (
        r"onnect|timed out|imeout|unreachable|\b5\d\d\b",
        "check that the host can reach that server",
    ),
    (r"method", "use an address that apt supports, such as https"),
)

_NOT_SOURCES = re.compile(
    r"Some index files failed to download|Updates for this repository will not be applied"
    r"|is configured multiple times|Skipping acquire of configured file"
)

_INSTALL_FIXES = (
    (
        r"Malformed|Conflicting values|list of sources|Syntax error|Unable to parse",
        "correct {file}",
    ),
    (r"Could not get lock|Unable to (?:lock|acquire)", "wait until that program has finished"),
    (r"No space left|enough free space", "free up space there"),
    (r"Default-Release", "correct `APT::Default-Release` in /etc/apt/apt.conf.d"),
    (r"preferences file", "correct that file"),
    (
        r"no installation candidate",
        "see `apt-cache policy {package}`: a pin in /etc/apt/preferences.d may exclude it",
    ),
    (r"would remove", "remove them yourself if nothing needs them"),
    (
        r"Held packages|held broken|unmet dependencies|Unable to satisfy",
        "see `apt-mark showhold` and `apt-get -s install {package}`",
    ),
    (r"not found|Unable to locate", "see `apt-cache policy {package}`"),
    (r"Failed to fetch|Unable to fetch", "check that the host can reach that server"),
    (r"dpkg", "see /var/log/apt/term.log on the host, then `dpkg --configure -a`"),
)


@dataclass(frozen=True)
class Broken:
    """A source that apt could not update: its name, apt's message, where it is configured, and the
    fix."""

    source: str
    said: str
    places: tuple[str, ...]
    fix: str

    @property
    def place(self) -> str:
        return " and ".join(self.places)

    def __str__(self) -> str:
        return f"{self.source}{f' ({self.place})' if self.places else ''}: {self.said}"


def last_update(output: Sequence[str]) -> list[str]:
    """Return our script's output from its last ``apt-get update`` on, or all of it if none."""
    begins = [number for number, line in enumerate(output) if line.strip() == LISTS]
    return list(output[begins[-1] :]) if begins else list(output)


def broken_sources(
    output: Iterable[str], entries: Sequence[Entry], proxies: Mapping[str, str] | None = None
) -> list[Broken]:
    """Return the sources that apt complains about.

    + output: of ``apt-get update``; up to two dozen lines may concern one source
    + entries: of all of apt's sources, to name the files
    + proxies: address of each proxy that apt uses -> the file that configures it
    """
    said: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, places, words in _complaints(output, entries):
        said.setdefault((name, places), []).append(words)
    return [
        Broken(name, _best(words), places, _way_out(name, words, proxies or {}))
        for (name, places), words in said.items()
    ]


def _way_out(name: str, words: Sequence[str], proxies: Mapping[str, str]) -> str:
    for address, file in proxies.items():
        server = urlsplit(address).hostname or address
        if server in " ".join(words) and server not in name:
            where = f" that {file} names" if file else ""
            return f"start the proxy {shown(address)}{where}, or remove that setting"
    return f"{_fix(words)}, or disable the source ({_DISABLE})"


def _complaints(
    output: Iterable[str], entries: Sequence[Entry]
) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for line in map(shown, output):
        if any((match := pattern.match(line)) for pattern in _ABOUT_A_REPOSITORY) and match:
            uri, suite = match["uri"], match["suite"]
            places = _places(one for one in entries if _is(one, uri, suite))
            yield f"{uri} {suite}", places, match["said"].rstrip(".")
        elif any((match := pattern.match(line)) for pattern in _ABOUT_A_FILE) and match:
            url = match["url"]
            found = [one for one in entries if _plain(url).startswith(_plain(one.base))]
            longest = max((len(one.base) for one in found), default=0)
            found = [one for one in found if len(one.base) == longest]
            name = f"{_plain(found[0].uri)} {found[0].suite}" if found else url
            words = match["said"] or "it cannot be fetched"
            if "what" in match.groupdict():
                words = f"its Release file {words.partition('. ')[0]}"
            yield name, _places(found), words.strip().rstrip(".")


def _is(entry: Entry, uri: str, suite: str) -> bool:
    return _plain(entry.uri) == _plain(uri) and entry.suite == suite


def _plain(uri: str) -> str:
    # A disc's name has brackets in the file, but not in apt's messages.
    return re.sub(r"^cdrom:\[(.*)\]", r"cdrom://\1", shown(uri)).rstrip("/")


def _places(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.place for entry in entries))


def _best(words: Sequence[str]) -> str:
    """Return the most useful message: apt reports signature problems twice."""
    return next((one for one in words if one != "is not signed"), words[0])


def _fix(words: Sequence[str]) -> str:
    # Ports look like HTTP status codes: "Connection failed [IP: 192.0.2.1 40117]".
    text = re.sub(r"\[IP: [^\]]*\]", "", "\n".join(words))
    found = (fix for pattern, fix in _SOURCE_FIXES if re.search(pattern, text))
    return next(found, "ask its maintainers")


def failure(packages: Sequence[str], output: Sequence[str], broken: Sequence[Broken]) -> str:
    """Return why packages were not installed, and the fix, as a sentence without its subject.

    + packages: the requested ones, such as ``curl`` or ``toolkit=1.2``
    + output: of our script
    + broken: sources that could not be updated
    """
    words = list(_errors(last_update(output)))
    seen = "; ".join(words[:3]) or "apt-get failed without an error message"
    named = next((one for one in packages if _name(one) in seen), packages[0])
    fixes = (fix for pattern, fix in _INSTALL_FIXES if re.search(pattern, seen))
    file = re.search(r"(?:in list file|file|in) (/\S+)", seen)
    fix = next(fixes, "see /var/log/apt/term.log on the host").format(
        file=file[1] if file else "that entry in /etc/apt", package=_name(named)
    )
    if broken:
        lost = "; ".join(map(str, broken))
        seen = f"{seen}. Sources that could not be updated: {lost}"
        fix = f"{broken[0].fix}; if no source is the cause, {fix}"
    return f"could not install {', '.join(packages)}: {seen}. To fix it: {fix}."


def _name(package: str) -> str:
    return package.partition("=")[0]


def refusal(said: Sequence[str], entries: Sequence[Entry]) -> tuple[str, str]:
    """Return why apt rejects all of its sources, and the fix.

    + said: apt's errors, without their ``E:``
    + entries: of all readable sources of apt
    """
    words = [one for one in said if not one.startswith("The list of sources could not be read")]
    words = list(dict.fromkeys(words))
    seen = shown("; ".join(words or said))
    conflict = re.search(r"regarding source (?P<uri>\S+) (?P<suite>[^\s:]+)", seen)
    if conflict:
        places = _places(one for one in entries if _same_list(one, *conflict.group("uri", "suite")))
        where = " and ".join(places) or "its files"
        return seen, f"keep only one of the entries for that repository, in {where}"
    file = re.search(r"(?:in list file |file |in )?(/[^\s:]+)", seen)
    return seen, f"correct {file[1] if file else 'that file'}, or move it away"


def _same_list(entry: Entry, uri: str, suite: str) -> bool:
    without = [_plain(one).partition("//")[2] for one in (entry.uri, uri)]
    return without[0] == without[1] and entry.suite == suite


def _errors(lines: Iterable[str]) -> Iterator[str]:
    """Yield apt's and dpkg's errors that are not about sources, each once, with their details: the
    unmet dependency, or why dpkg gave up."""
    told: set[str] = set()
    lines = [shown(line) for line in lines]
    about_sources = (*_ABOUT_A_REPOSITORY, *_ABOUT_A_FILE[:1])
    for number, line in enumerate(lines):
        words = ""
        if line.startswith("E: ") and not (
            _NOT_SOURCES.search(line)
            or any(pattern.match(line) for pattern in about_sources)
            or "/dists/" in line
        ):
            words = line.removeprefix("E: ").rstrip(".")
        elif re.match(r" \S+ : (?:Depends|PreDepends|Conflicts|Breaks): ", line):
            words = line.strip()
        elif line.startswith("dpkg: error processing"):
            rest = lines[number + 1].strip() if number + 1 < len(lines) else ""
            words = f"{line} {rest}".strip()
        elif line.startswith("apt: "):  # our own script's
            words = line.removeprefix("apt: ")
        if words and words not in told:
            told.add(words)
            yield words
