"""The report of a run: what it proved, as one HTML page and as JSON.

The page is self-contained and loads nothing; its templates are in ``templates/report/``. The JSON
has the same content for programs; :meth:`Report.to_json` describes its form.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2
from markupsafe import Markup, escape

from workstation.findings import HOST, Finding, State, failed, noted, state_of, subject_of
from workstation.render import TEMPLATES
from workstation.report import topology
from workstation.report.criteria import Criterion, claim
from workstation.report.drawing import draw
from workstation.report.topology import Site, Topology, stand_in
from workstation.settings import SECRETS
from workstation.stack import Mount, Service, Stack, is_below

FORMAT = 1
"""Version of the JSON's form: incremented when a key is removed or changes its meaning."""

MANY = 12
"""Number of checks of one subject above which the page folds those that passed."""

_SECRET_OPTIONS = ("--ssh-password", "--password", "--ssh-key-password", "--key-password")
"""Options of pyinfra (3.10) that are followed by a secret."""

# Escape sequences of terminals (ECMA-48), then control characters and those that change the
# direction of text, which could disguise evidence.
_ESCAPES = re.compile(
    "\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """Return text for the page: no terminal codes, and nothing that UTF-8 cannot represent."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))


def marked(text: str) -> Markup:
    """Return text as markup, with everything between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(plain(text)))))


def duration(seconds: float) -> str:
    """Return a time in the form that people use: ``0.4 s``, ``3 min 05 s``, ``1 h 02 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@dataclass(frozen=True)
class Phase:
    """A part of the run and the seconds that it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Origin:
    """The origin of a run: ``user@machine``, the commit and whether the checkout had changes, the
    command line."""

    who: str = ""
    commit: str = ""
    changed: bool = False
    arguments: tuple[str, ...] = ()

    @property
    def shown_arguments(self) -> list[str]:
        """The command line with secrets masked."""
        named = "|".join((*SECRETS, r"[\w-]*(?:password|secret|token)"))
        secret = re.compile(rf"((?:^|.*\W)(?:{named})=).*", re.IGNORECASE | re.DOTALL)
        return [
            "***" if before in _SECRET_OPTIONS else secret.sub(r"\1***", argument)
            for before, argument in zip(("", *self.arguments), self.arguments, strict=False)
        ]

    @property
    def command(self) -> str:
        return shlex.join(self.shown_arguments)


@dataclass(frozen=True)
class Check:
    """A finding on the page: its anchor, and its name without the subject."""

    anchor: str
    claim: str
    finding: Finding

    @property
    def state(self) -> State:
        return state_of([self.finding])


@dataclass(frozen=True)
class Group:
    """The checks of one subject. For a service, also the content of its Compose entry."""

    subject: str
    checks: tuple[Check, ...]
    service: Service | None = None
    link: str = ""
    tunnel: str = ""
    """The command that must run for the link to work; empty if none is needed."""
    stand_in: str = ""
    mounts: tuple[tuple[str, str, str], ...] = ()
    """Each mount: its source, its place in the container, and how it may be used."""

    @property
    def findings(self) -> list[Finding]:
        return [check.finding for check in self.checks]

    @property
    def state(self) -> State:
        """The worst state of its checks."""
        return state_of(self.findings)

    @property
    def words(self) -> str:
        """The state in words."""
        return counted(self.findings)

    @property
    def shown(self) -> list[Check]:
        """The checks that are not folded: failures, notes, and the others if there are few."""
        worst = sorted(self.checks, key=lambda check: (check.finding.ok, check.finding.note))
        if len(worst) <= MANY:
            return worst
        return [check for check in worst if not check.finding.ok]

    @property
    def folded(self) -> list[Check]:
        """The others."""
        return [check for check in self.checks if check not in self.shown]


def counted(findings: Sequence[Finding]) -> str:
    """Return the number of findings that passed or failed, and of notes, in words."""
    problems, notes = len(failed(findings)), len(noted(findings))
    if not findings:
        return "not checked"
    if problems:
        return f"{problems} of {_plural(len(findings), 'check')} failed"
    return ", ".join(
        words
        for words in (
            f"{_plural(len(findings) - notes, 'check')} passed" if len(findings) > notes else "",
            _plural(notes, "note") if notes else "",
        )
        if words
    )


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@dataclass(frozen=True)
class Report:
    """The result of a run.

    + started, finished: with their time zone
    + versions: component -> version or model, in the order in which they are shown
    + stand_ins: phrases, each about a part that is not the real one
    + stacks, site: the sources of the topology and of the services' cards
    + criteria: from :func:`workstation.report.criteria.judge`; empty if there are none

    Raises ValueError for a time without a zone.
    """

    host: str
    started: datetime
    finished: datetime
    findings: tuple[Finding, ...]
    origin: Origin = field(default_factory=Origin)
    versions: Mapping[str, str] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    stand_ins: tuple[str, ...] = ()
    stacks: tuple[Stack, ...] = ()
    site: Site = field(default_factory=Site)
    criteria: tuple[Criterion, ...] = ()

    def __post_init__(self) -> None:
        for time in (self.started, self.finished):
            if time.utcoffset() is None:
                raise ValueError(
                    f"Times in a report need a time zone: {time.isoformat()} has none."
                )

    @property
    def verdict(self) -> State:
        """``FAILED``, ``not checked`` if there are no findings, else ``ok``, even with notes."""
        state = state_of(self.findings)
        return "ok" if state == "note" else state

    @property
    def headline(self) -> str:
        """The verdict as a sentence."""
        if self.verdict == "not checked":
            return "Nothing was checked"
        if state_of(self.findings) == "ok":
            return "All checks passed"
        return counted(self.findings)

    @property
    def seconds(self) -> float:
        return (self.finished - self.started).total_seconds()

    @cached_property
    def services(self) -> dict[str, Service]:
        """The running services, by ``stack/service``."""
        return {
            f"{stack.name}/{service.name}": service
            for stack in self.stacks
            for service in stack.running
        }

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The checks of each service, of the host, and of any other subject."""
        checks: dict[str, list[Check]] = {subject: [] for subject in (*self.services, HOST)}
        for number, finding in enumerate(self.findings, 1):
            subject = subject_of(finding, self.services)
            check = Check(f"check-{number}", claim(finding, subject), finding)
            checks.setdefault(subject, []).append(check)
        return {subject: self._group(subject, tuple(found)) for subject, found in checks.items()}

    def _group(self, subject: str, checks: tuple[Check, ...]) -> Group:
        service = self.services.get(subject)
        if service is None:
            return Group(subject, checks)
        return Group(
            subject,
            checks,
            service,
            *self.site.way(service),
            stand_in(service.name, self.stand_ins),
            tuple(
                (
                    _source(mount, self.site),
                    mount.target,
                    "read-only" if mount.read_only else "writable",
                )
                for mount in service.mounts
            ),
        )

    @property
    def failures(self) -> list[Check]:
        """The failed checks, by subject."""
        checks = [check for group in self.groups.values() for check in group.checks]
        return [check for check in checks if check.state == "FAILED"]

    @cached_property
    def topology(self) -> Topology:
        """The content of the picture of the machine."""
        states = {subject: (group.state, group.words) for subject, group in self.groups.items()}
        return topology.read(self.host, self.site, self.stacks, states, self.stand_ins)

    def to_html(self) -> str:
        """Return the page, which must be written as UTF-8."""
        return _ENVIRONMENT.get_template("report.html.j2").render(
            report=self,
            pictures={
                "wide": draw(self.topology, width=980, columns=4),
                "narrow": draw(self.topology, width=336, columns=2),
            },
        )

    def to_json(self) -> str:
        """Return the report for programs, in ASCII, its keys always in this order:

        - ``format``: 1
        - ``host``; ``verdict``: ``ok``, ``FAILED`` or ``not checked``
        - ``started``, ``finished``: ISO 8601 with the offset from UTC; ``seconds`` between them
        - ``origin``: ``who``, ``commit``, ``changed``, ``arguments``
        - ``versions``: component -> version
        - ``criteria``: ``number``, ``text``, ``state`` (as the verdict, or ``note``), ``remark``,
          ``findings`` (names)
        - ``findings``: ``name``, ``ok``, ``detail``, ``evidence``, ``fix``, ``subject``, ``note``
        - ``phases``: ``name``, ``seconds``
        - ``services``: ``subject``, ``link``, ``tunnel`` (what must run for the link to work),
          ``image``, ``built``, ``gpu``, ``stand_in``, ``mounts`` (``kind``, ``source``, ``target``,
          ``read_only``), ``ports``
        - ``stand_ins``: phrases

        Evidence is verbatim here, terminal codes included.
        """
        content = {
            "format": FORMAT,
            "host": self.host,
            "verdict": self.verdict,
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat(),
            "seconds": self.seconds,
            "origin": {
                "who": self.origin.who,
                "commit": self.origin.commit,
                "changed": self.origin.changed,
                "arguments": self.origin.shown_arguments,
            },
            "versions": dict(self.versions),
            "criteria": [
                {
                    "number": criterion.number,
                    "text": criterion.text,
                    "state": criterion.state,
                    "remark": criterion.remark,
                    "findings": [finding.name for finding in criterion.findings],
                }
                for criterion in self.criteria
            ],
            "findings": [
                {
                    "name": finding.name,
                    "ok": finding.ok,
                    "detail": finding.detail,
                    "evidence": finding.evidence,
                    "fix": finding.fix,
                    "subject": subject_of(finding, self.services),
                    "note": finding.note,
                }
                for finding in self.findings
            ],
            "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in self.phases],
            "services": [
                self._service(self.groups[subject], service)
                for subject, service in self.services.items()
            ],
            "stand_ins": list(self.stand_ins),
        }
        return json.dumps(content, indent=1) + "\n"

    def _service(self, group: Group, service: Service) -> dict[str, Any]:
        return {
            "subject": group.subject,
            "link": group.link,
            "tunnel": group.tunnel,
            "image": service.image,
            "built": service.build is not None,
            "gpu": service.gpu,
            "stand_in": group.stand_in,
            "mounts": [
                {
                    "kind": mount.kind,
                    "source": mount.source,
                    "target": mount.target,
                    "read_only": mount.read_only,
                }
                for mount in service.mounts
            ],
            "ports": list(service.ports),
        }


def _source(mount: Mount, site: Site) -> str:
    """Return the source of a mount, in the words of the page."""
    if mount.kind != "bind":
        return f"volume {mount.source}" if mount.source else "an unnamed volume"
    for folder, name in ((site.models_path, "model store"), (site.share_mount, "share")):
        if folder and is_below(mount.source, folder):
            return name + mount.source.removeprefix(folder)
    return mount.source


def _finalize(value: Any) -> Any:
    """Return a value that a template prints, cleaned if it is text but not markup."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES / "report"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    duration=duration,
    marked=marked,
    plural=_plural,
    state=state_of,
    when=lambda time: time.strftime("%Y-%m-%d %H:%M %Z"),
)
