"""Which program a unit's command finally starts, behind nice, env or a shell, and its variables.

Only programs known to run their arguments as a command are looked through. Any other program counts
itself, because a container or a wrapper may start anything.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from workstation.units.files import Value, words

# Program -> its options with a separate value, and the number of words before the command (from
# their manual pages).
_PASSING: dict[str, tuple[str, int]] = {
    "nice": ("-n --adjustment", 0),
    "ionice": ("-c -n --class --classdata", 0),
    "chrt": ("-T -P -D", 1),
    "taskset": ("", 1),
    "numactl": (
        "-N -m -i -C -p -P -w --cpunodebind --membind --interleave --physcpubind --preferred",
        0,
    ),
    "prlimit": ("", 0),
    "stdbuf": ("-i -o -e --input --output --error", 0),
    "systemd-cat": ("-t -p --identifier --priority --stderr-priority", 0),
    "systemd-inhibit": ("", 0),
    **dict.fromkeys(("nohup", "setsid", "command", "time"), ("", 0)),
    "exec": ("-a", 0),
}
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_BLOCKS = ("if", "for", "while", "until", "case", "select", "function", "eval", "exit")


@dataclass(frozen=True)
class Started:
    """``words``: the program and its arguments; ``environment``: its variables; ``searched``: its
    name is looked up in ``PATH``; ``privileged``: it runs as root, whatever ``User=`` says;
    ``several``: there is more than one command; ``reads``: files that may set more variables."""

    words: tuple[str, ...] = ()
    environment: dict[str, Value] = field(default_factory=dict)
    searched: bool = False
    privileged: bool = False
    several: bool = False
    reads: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The program's path or name; empty if unknown."""
        return str(PurePosixPath(self.words[0])) if self.words else ""


def started(line: Value, environment: Mapping[str, Value]) -> Started:
    """Return what a command of ``ExecStart=`` finally starts (``systemd.service(5)``, "COMMAND
    LINES").

    + line: the command and the file that contains it
    + environment: of the unit
    """
    found = words(line.text)
    prefix = re.match(r"[@\-:+!|]*", found[0] if found else "")
    marks = prefix[0] if prefix else ""
    if found:
        found = [found[0][len(marks) :], *found[2 if "@" in marks else 1 :]]
    state = Started(
        environment=dict(environment),
        privileged="+" in marks or "!" in marks,
        several=";" in found,
    )
    return _behind(found, state, line.file)


def _behind(found: Sequence[str], state: Started, file: str) -> Started:
    """Return what a command finally starts."""
    name = PurePosixPath(found[0]).name if found else ""
    if name == "env":
        return _behind_env(found[1:], state, file)
    if name in _SHELLS:
        return _behind_shell(found, state, file)
    if name in _PASSING:
        valued, before = _PASSING[name]
        rest = _after_options(found[1:], valued.split())[before:]
        return _behind(rest, replace(state, searched=True), file)
    return replace(state, words=tuple(found))


def _after_options(found: Sequence[str], valued: Sequence[str]) -> list[str]:
    rest = list(found)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if option in valued and rest:
            rest.pop(0)
    return rest


def _behind_env(found: Sequence[str], state: Started, file: str) -> Started:
    """Return what ``env`` starts (env(1))."""
    rest, environment = list(found), dict(state.environment)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        name, separator, value = option.partition("=")
        if option == "--":
            break
        if option in ("-", "-i", "--ignore-environment"):
            environment.clear()
        elif name in ("-u", "--unset"):
            environment.pop(value if separator else rest.pop(0) if rest else "", None)
        elif name in ("-S", "--split-string"):
            rest = [*shlex.split(value if separator else rest.pop(0) if rest else ""), *rest]
        elif option.startswith(("-u", "-S")):
            if option[1] == "u":
                environment.pop(option[2:], None)
            else:
                rest = [*shlex.split(option[2:]), *rest]
        elif option in ("-C", "--chdir") and rest:
            rest.pop(0)
    while rest and (match := _ASSIGNMENT.fullmatch(rest[0])):
        environment[match[1]] = Value(match[2], file)
        rest.pop(0)
    return _behind(rest, replace(state, environment=environment, searched=True), file)


def _behind_shell(found: Sequence[str], state: Started, file: str) -> Started:
    """Return what the script of ``sh -c`` starts; without ``-c``, the shell is the program."""
    rest = list(found[1:])
    while rest and rest[0].startswith(("-", "+")):
        option = rest.pop(0)
        if option == "--login" or re.fullmatch(r"-[a-z]*l[a-z]*", option):
            state = replace(state, reads=(*state.reads, "the profile of a login shell"))
        if re.fullmatch(r"-[a-z]*c[a-z]*", option) and rest:
            return _script(rest[0], found, replace(state, searched=True), file)
        if option in ("-o", "+o", "--rcfile", "--init-file") and rest:
            rest.pop(0)
    return replace(state, words=tuple(found))


def _script(text: str, shell: Sequence[str], state: Started, file: str) -> Started:
    """Return the program that a script starts as Ollama: the first of that name, or an earlier
    program that replaces the shell. If the script is more than a list of commands, return the shell
    itself."""
    unknown = replace(state, words=tuple(shell))
    environment, reads, last = dict(state.environment), list(state.reads), unknown
    for command in _commands(text):
        rest = list(command)
        if not rest or rest[0] in _BLOCKS:
            if rest:
                return unknown
            continue
        exported = rest[0] in ("export", "declare", "typeset", "readonly")
        own = dict(environment)
        pairs = rest[1:] if exported else rest
        while pairs and (match := _ASSIGNMENT.fullmatch(pairs[0])):
            own[match[1]] = Value(match[2], file)
            pairs.pop(0)
        if exported or not pairs:
            environment = own
            continue
        if pairs[0] == "unset":
            for name in pairs[1:]:
                environment.pop(name, None)
        elif pairs[0] in (".", "source"):
            reads.append(" ".join(pairs[1:2]))
        else:
            now = replace(state, environment=own, reads=tuple(reads))
            last = _behind(pairs, now, file)
            if pairs[0] == "exec" or PurePosixPath(last.program).name == "ollama":
                return last
    return last


def _commands(text: str) -> list[list[str]]:
    """Return the simple commands of a script, without redirections."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    commands: list[list[str]] = [[]]
    skip = False
    try:
        for token in lexer:
            if skip:
                skip = False
            elif set(token) <= set("<>&") and set(token) & set("<>"):
                skip = True
                if commands[-1] and commands[-1][-1].isdigit():
                    commands[-1].pop()
            elif set(token) <= set("();|&\n") or token in ("{", "}", "!"):
                commands.append([])
            else:
                commands[-1].append(token)
    except ValueError:  # an unclosed quotation
        return []
    return commands
