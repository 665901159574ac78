"""Forms of the values in a Compose file, and the problems of values that do not match.

A form is a function that yields problems: the path of keys, and the end of a sentence about that
place. ``schema`` is the table that is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workstation.errors import nearest, shown

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

_TRUE = frozenset({"true", "y", "yes", "on"})
_FALSE = frozenset({"false", "n", "no", "off"})


@dataclass(frozen=True)
class Form:
    """``expected``: what a value must be, for a sentence; ``kind``: the type by which the form is
    chosen among several."""

    expected: str
    kind: type | None
    problems: Callable[[Any, Path], Iterator[Problem]]


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


def is_true(value: Any) -> bool:
    """Return whether Compose considers a value true: true itself, and YAML 1.1's words for it as
    text (compose-go, loader/interpolate.go: toBoolean)."""
    return str(value).lower() in _TRUE


def scalar(expected: str, accepts: Callable[[Any], bool], known: Iterable[str] = ()) -> Form:
    """Return the form of a value that ``accepts`` returns true for.

    + known: names to suggest
    """
    words = tuple(known)

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if not accepts(value):
            meant = nearest(value, words) if isinstance(value, str) else ""
            yield path, f"is {shown(value)}{meant}: expected {expected}"

    return Form(expected, None, problems)


def pattern(regex: str, expected: str) -> Form:
    """Return the form of text that matches as a whole."""
    compiled = re.compile(regex, re.ASCII)
    return scalar(
        expected, lambda value: isinstance(value, str) and bool(compiled.fullmatch(value))
    )


def one_of(*words: str, expected: str = "", also: str = "") -> Form:
    """Return the form of one of the words, or of text that matches ``also``."""
    compiled = re.compile(also, re.ASCII) if also else None
    return scalar(
        expected or " or ".join(filter(None, (", ".join(words[:-1]), words[-1]))),
        lambda value: (
            isinstance(value, str)
            and (value in words or bool(compiled and compiled.fullmatch(value)))
        ),
        words,
    )


def like(*words: str, expected: str) -> Form:
    """Return the form of text that is one of the words, begins with one, or is not similar to any:
    plugins and people use other names too."""
    begins = tuple(f"{word}{sign}" for word in words for sign in "-.")
    return scalar(
        expected,
        lambda value: (
            isinstance(value, str)
            and value != ""
            and (value in words or value.startswith(begins) or not nearest(value, words, 0.66))
        ),
        words,
    )


def checked(check: Callable[[Any], str]) -> Form:
    """Return the form of text or a number for which ``check`` returns an empty string; otherwise it
    returns what was expected."""

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if expected := check(value):
            yield path, f"is {shown(value)}: expected {expected}"

    return Form("", str, problems)


def whole(least: int = -(2**63), most: int = 2**63 - 1, text: bool = True) -> Form:
    """Return the form of a whole number, or of its digits if ``text``."""

    def accepts(value: Any) -> bool:
        if text and isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        return type(value) is int and least <= value <= most

    limits = f" from {least}" if least > -(2**63) else ""
    limits += f" to {most}" if most < 2**31 - 1 else ""
    return scalar(f"a whole number{limits}", accepts)


def real(expected: str, above: float = 0) -> Form:
    """Return the form of a number of at least ``above``, or of its text."""

    def accepts(value: Any) -> bool:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value, re.ASCII):
            value = float(value)
        return (
            not isinstance(value, bool)
            and isinstance(value, int | float)
            and above <= value < 2**31
        )

    return scalar(expected, accepts)


FLAG = scalar(
    "true or false",
    lambda value: (
        isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUE | _FALSE)
    ),
)
TEXT = scalar("text (put it in quotes)", lambda value: isinstance(value, str))
NAME = scalar("text that is not empty", lambda value: isinstance(value, str) and value != "")
PLAIN = scalar("text or a number", lambda value: _is_scalar(value) and value is not None)
ANYTHING = Form("anything", None, lambda value, path: iter(()))
NOTHING = scalar("nothing", lambda value: value is None)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def either(*forms: Form) -> Form:
    """Return the form of a value that matches one of the forms; the form for the value's own kind
    describes its problems."""
    expected = " or ".join(form.expected for form in forms if form.expected)

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if any(next(form.problems(value, path), None) is None for form in forms):
            return
        own = [form for form in forms if form.kind and isinstance(value, form.kind)]
        if own:
            yield from own[0].problems(value, path)
        else:
            yield path, f"is {shown(value)}: expected {expected}"

    return Form(expected, None, problems)


def optional(form: Form) -> Form:
    """Return the form of a value that matches the form or is missing."""

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if value is not None:
            yield from form.problems(value, path)

    return Form(form.expected, form.kind, problems)


def listed(form: Form, expected: str = "a list") -> Form:
    """Return the form of a list whose entries match ``form``."""

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield path, f"is {shown(value)}: expected {expected}"
            return
        for number, entry in enumerate(value):
            yield from form.problems(entry, (*path, number))

    return Form(expected, list, problems)


def named_by(names: Form, form: Form, expected: str = "a mapping") -> Form:
    """Return the form of a mapping whose keys match ``names`` and whose values match ``form``."""

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield path, f"is {shown(value)}: expected {expected}"
            return
        for name, entry in value.items():
            if not isinstance(name, str):
                yield path, f"has the key {shown(name)}, which is not text: put it in quotes"
                continue
            if found := next(names.problems(name, path), None):
                yield (
                    (*path, str(name)),
                    f"is not a valid name{found[1].removeprefix(f'is {shown(name)}')}",
                )
                continue
            yield from form.problems(entry, (*path, name))

    return Form(expected, dict, problems)


def keys(known: Mapping[str, Form], *, required: Iterable[str] = (), of: str = "Compose") -> Form:
    """Return the form of a mapping with only these keys and Compose's extensions (``x-``).

    + of: whose keys they are. If ``x-workstation`` is known, a near miss of it is rejected.
    """
    needed = tuple(required)
    expected = f"a mapping with {', '.join(known)}" if len(known) < 6 else "a mapping"

    def problems(value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield path, f"is {shown(value)}: expected {expected}"
            return
        for key, entry in value.items():
            if not isinstance(key, str):
                yield path, f"has the key {shown(key)}, which is not text: put it in quotes"
            elif key in known:
                yield from known[key].problems(entry, (*path, key))
            elif not key.startswith("x-") or of != "Compose":
                yield (*path, key), f"is not a key that {of} knows{nearest(key, known)}"
            elif "x-workstation" in known and (hint := nearest(key, {"x-workstation"}, 0.8)):
                yield (*path, key), f"is an extension that nothing reads{hint}"
        for key in needed:
            if key not in value:
                yield path, f"has no {key}: add it"

    return Form(expected, dict, problems)


_SIZE = re.compile(
    r"0|(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?P<unit>[kmgtp])i?b?|[0-9]{7,18}b?",
    re.IGNORECASE | re.ASCII,
)
LEAST_MEMORY = 6 * 2**20
"""The lowest limit of memory, in bytes, that the Engine accepts (moby, daemon/daemon_unix.go)."""


def size(value: Any) -> str:
    """Return what was expected, or an empty string if go-units reads ``value`` as a memory size
    (RAMInBytes). A number alone counts bytes, so a small one is a mistake."""
    number = type(value) is int and (value == 0 or value >= 2**20)
    text = isinstance(value, str) and _SIZE.fullmatch(value)
    known = (number or text) and in_bytes(value) < 2**63
    return "" if known else "a size with its unit, such as 8gb"


def in_bytes(value: int | str) -> float:
    """Return a valid memory size in bytes."""
    found = _SIZE.fullmatch(str(value))
    if found and found["unit"]:
        return float(found["number"]) * 1024.0 ** (1 + "kmgtp".index(found["unit"].lower()))
    return int(str(value).lower().removesuffix("b"))


def memory_limit(value: Any) -> str:
    """Return what was expected, or an empty string if ``value`` is a memory size that a container
    can be limited to; 0 is no limit."""
    too_little = not size(value) and 0 < in_bytes(value) < LEAST_MEMORY
    return "at least 6mb, which Docker requires (0: no limit)" if too_little else size(value)


_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h|d|w))+", re.ASCII)


def duration(value: Any) -> str:
    """Return what was expected, or an empty string if ``value`` is a duration that Docker accepts:
    zero, or at least a millisecond (moby, daemon/container.go)."""
    if value == "0" or (
        isinstance(value, str)
        and _DURATION.fullmatch(value)
        and (re.search(r"[1-9][0-9.]*(ms|s|m|h|d|w)", value) or not re.search("[1-9]", value))
    ):
        return ""
    return "a duration such as 1m30s"
