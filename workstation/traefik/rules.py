"""The rules of Traefik's routers, parsed as Traefik 3 does.

A rule is a Go expression: matchers, whose values are in backticks or double quotes, with ``&&``,
``||``, ``!`` and parentheses. Source: doc.traefik.io, "Rules & Priority"; each rule in
``tests/unit/test_traefik.py`` was verified with Traefik 3.7.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from workstation.errors import named, nearest, shown

_MATCHERS = {
    "ClientIP": (1,),
    "Header": (2,),
    "HeaderRegexp": (2,),
    "Host": (1,),
    "HostRegexp": (1,),
    "Method": (1,),
    "Path": (1,),
    "PathPrefix": (1,),
    "PathRegexp": (1,),
    "Query": (1, 2),
    "QueryRegexp": (1, 2),
}
# Traefik also accepts each in lower case, in capitals, and with only the first letter capitalized.
_SPELLINGS = {
    spelling: name
    for name in _MATCHERS
    for spelling in (name, name.lower(), name.upper(), name.capitalize())
}
_TOKEN = re.compile(
    r"(?P<blank>\s*)(?:(?P<name>[A-Za-z_]\w*)|`(?P<raw>[^`]*)`|\"(?P<text>(?:[^\"\\\n]|\\.)*)\""
    r"|(?P<sign>&&|\|\||[!(),])|(?P<wrong>\S))"
)
_ENDS = ("name", "raw", "text")
"""Tokens after which a line break ends a Go expression; a closing parenthesis is another one."""


@dataclass(frozen=True)
class Matcher:
    """One matcher of a rule; ``negated``: whether a ``!`` applies to it."""

    name: str
    values: tuple[str, ...]
    negated: bool = False


class RuleError(ValueError):
    """A rule that Traefik 3 cannot parse, or that matches nothing; the message says why."""


def parse(rule: str) -> list[Matcher]:
    """Return the matchers of a rule, in their order.

    Raises RuleError.
    """
    parser = _Parser(rule)
    found = list(parser.expression(False))
    if parser.kind:
        raise RuleError(f"expected && or || instead of {parser.shown()}")
    return found


def hosts(rule: str) -> list[str]:
    """Return the host names that a rule matches, in their order; empty for an invalid rule."""
    try:
        return [one.values[0] for one in parse(rule) if one.name == "Host" and not one.negated]
    except RuleError:
        return []


class _Parser:
    def __init__(self, rule: str) -> None:
        self._tokens = _TOKEN.finditer(rule)
        self.kind = self.value = ""
        self._next()

    def _next(self) -> tuple[str, str]:
        before = (self.kind, self.value)
        token = next(self._tokens, None)
        if token and "\n" in token["blank"] and (before[0] in _ENDS or before[1] == ")"):
            raise RuleError("a line break here would end the rule: end the line with && or ||")
        self.kind = (token.lastgroup or "") if token else ""
        self.value = token[self.kind] if token and self.kind else ""
        return before

    def shown(self) -> str:
        if not self.kind:
            return "the end of the rule"
        hint = (
            ": write values in backticks, as in Host(`a.example`)" if self.value in "'`\"" else ""
        )
        return f"{shown(self.value)}{hint}"

    def expression(self, negated: bool) -> Iterator[Matcher]:
        yield from self._operand(negated)
        while self.value in ("&&", "||") and self.kind == "sign":
            self._next()
            yield from self._operand(negated)

    def _operand(self, negated: bool) -> Iterator[Matcher]:
        while self._is("!"):
            negated = not negated
            self._next()
        if self._is("("):
            self._next()
            yield from self.expression(negated)
            self._expect(")")
            return
        if self.kind != "name":
            raise RuleError(f"expected a matcher such as Host(`...`) instead of {self.shown()}")
        _, name = self._next()
        if name not in _SPELLINGS:
            raise RuleError(
                f"{named(name)} is not a matcher of Traefik 3{nearest(name, _MATCHERS)}"
            )
        self._expect("(")
        values: list[str] = []
        while not self._is(")"):
            if self.kind not in ("raw", "text"):
                raise RuleError(f"expected a value of {name} instead of {self.shown()}")
            values.append(self._next()[1])
            if not self._is(")"):
                self._expect(",")
        self._expect(")")
        yield _checked(Matcher(_SPELLINGS[name], tuple(values), negated))

    def _is(self, sign: str) -> bool:
        return self.kind == "sign" and self.value == sign

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            raise RuleError(f"expected {sign} instead of {self.shown()}")
        self._next()


def _checked(matcher: Matcher) -> Matcher:
    """Return a matcher. Raises RuleError for values that Traefik rejects or no request has."""
    name, values = matcher.name, matcher.values
    numbers = _MATCHERS[name]
    if len(values) not in numbers:
        expected = " or ".join(map(str, numbers))
        also = ": write Host(`a`) || Host(`b`)" if name == "Host" and values else ""
        plural = "" if len(values) == 1 else "s"
        raise RuleError(f"{name} has {len(values)} value{plural} instead of {expected}{also}")
    if not values[0]:
        raise RuleError(f"{name} has an empty value")
    value = values[-1]
    if name == "Host" and not re.fullmatch(r"[A-Za-z0-9*]([A-Za-z0-9._-]*[A-Za-z0-9.])?", value):
        raise RuleError(f"{shown(value)} is not a host name: leave out https://, ports and paths")
    if name in ("Path", "PathPrefix") and not value.startswith("/"):
        raise RuleError(f"{shown(value)} is not a path: it must begin with /")
    if name == "HostRegexp" and re.match(r"\{\w+:", value):
        raise RuleError(f"{shown(value)} is a Traefik 2 pattern: write a regular expression")
    if name.endswith("Regexp"):
        _refuse_open_brackets(value)
    if name == "ClientIP":
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise RuleError(f"{shown(value)} is not an address or network") from None
    return matcher


def _refuse_open_brackets(pattern: str) -> None:
    """Raise RuleError for unmatched brackets, which are the same in Go's and Python's regular
    expressions; other differences are not checked."""
    try:
        re.compile(pattern)
    except re.error as error:
        if "unterminated" in str(error) or "missing" in str(error) or "unbalanced" in str(error):
            raise RuleError(
                f"{shown(pattern)} is not a valid regular expression: {error.msg}"
            ) from None
