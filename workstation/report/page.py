"""The report of a run: what it proved, as one HTML page and as JSON.

The page has everything in it and loads nothing; its templates are in ``templates/report/``. The
JSON says the same for programs, in the form that :meth:`Report.to_json` describes.
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
"""Version of the JSON's form: it counts up when a key goes or changes its meaning."""

MANY = 12
"""Checks of one subject above which the page folds those that hold."""

_SECRET_OPTIONS = ("--ssh-password", "--password", "--ssh-key-password", "--key-password")
"""Options of pyinfra (3.10) behind which a secret follows."""

# Escape sequences of terminals (ECMA-48), then control characters and those that turn the
# direction of text, with which evidence could look like what it is not.
_ESCAPES = re.compile(
    "\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """Return text as a page may show it: no terminal codes, and nothing that UTF-8 cannot hold."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text))


def marked(text: str) -> Markup:
    """Return text as markup in which what stands between backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(plain(text)))))


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``3 min 05 s``, ``1 h 02 min``."""
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
    """A part of the run and how long it took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Origin:
    """Who ran what: ``user@machine``, the commit and whether it was changed, the command line."""

    who: str = ""
    commit: str = ""
    changed: bool = False
    arguments: tuple[str, ...] = ()

    @property
    def shown_arguments(self) -> list[str]:
        """The command line without the secrets that somebody gave in it."""
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
    """A finding's place in the page: its anchor, and what it says of its subject."""

    anchor: str
    claim: str
    finding: Finding

    @property
    def state(self) -> State:
        return state_of([self.finding])


@dataclass(frozen=True)
class Group:
    """The checks of one subject. For a service, also what its Compose entry says."""

    subject: str
    checks: tuple[Check, ...]
    service: Service | None = None
    link: str = ""
    tunnel: str = ""
    """The command that must run for the link to lead there; empty for none."""
    stand_in: str = ""
    mounts: tuple[tuple[str, str, str], ...] = ()
    """What is mounted, where in the container, and how it may be used."""

    @property
    def findings(self) -> list[Finding]:
        return [check.finding for check in self.checks]

    @property
    def state(self) -> State:
        """What its checks say together."""
        return state_of(self.findings)

    @property
    def words(self) -> str:
        """The state in words."""
        return counted(self.findings)

    @property
    def shown(self) -> list[Check]:
        """The checks that are seen at once: failures, notes, and what holds if that is not much."""
        worst = sorted(self.checks, key=lambda check: (check.finding.ok, check.finding.note))
        if len(worst) <= MANY:
            return worst
        return [check for check in worst if not check.finding.ok]

    @property
    def folded(self) -> list[Check]:
        """The others."""
        return [check for check in self.checks if check not in self.shown]


def counted(findings: Sequence[Finding]) -> str:
    """Return how many findings are ok, or failed, and how many are notes, in words."""
    problems, notes = len(failed(findings)), len(noted(findings))
    if not findings:
        return "not checked"
    if problems:
        return f"{problems} of {_plural(len(findings), 'check')} failed"
    return ", ".join(
        words
        for words in (
            f"{_plural(len(findings) - notes, 'check')} ok" if len(findings) > notes else "",
            _plural(notes, "note") if notes else "",
        )
        if words
    )


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@dataclass(frozen=True)
class Report:
    """All that a run has to tell.

    + started, finished: with their time zone
    + versions: what -> version or model, in the order in which they are shown
    + stand_ins: phrases, each about a part that is not the real one
    + stacks, site: what the topology and the services' cards are read from
    + criteria: as :func:`workstation.report.criteria.judge` gives them; empty where there are none

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
                raise ValueError(f"A report's times need a time zone, {time.isoformat()} has none.")

    @property
    def verdict(self) -> State:
        """``FAILED``, ``not checked`` if there are no findings, else ``ok``, with notes or not."""
        state = state_of(self.findings)
        return "ok" if state == "note" else state

    @property
    def headline(self) -> str:
        """The verdict as a sentence."""
        if self.verdict == "not checked":
            return "Nothing was checked"
        if state_of(self.findings) == "ok":
            return "All checks hold"
        return counted(self.findings)

    @property
    def seconds(self) -> float:
        return (self.finished - self.started).total_seconds()

    @cached_property
    def services(self) -> dict[str, Service]:
        """The services that run, by ``stack/service``."""
        return {
            f"{stack.name}/{service.name}": service
            for stack in self.stacks
            for service in stack.running
        }

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Each service's checks, the host's, and those of any other subject."""
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
        """The checks that failed, subject by subject."""
        checks = [check for group in self.groups.values() for check in group.checks]
        return [check for check in checks if check.state == "FAILED"]

    @cached_property
    def topology(self) -> Topology:
        """What the picture of the machine shows."""
        states = {subject: (group.state, group.words) for subject, group in self.groups.items()}
        return topology.read(self.host, self.site, self.stacks, states, self.stand_ins)

    def to_html(self) -> str:
        """Return the page, to be written as UTF-8."""
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
        - ``versions``: what -> version
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
    """Return what is mounted, in the words of the page."""
    if mount.kind != "bind":
        return f"volume {mount.source}" if mount.source else "a volume without a name"
    for folder, name in ((site.models_path, "model store"), (site.share_mount, "share")):
        if folder and is_below(mount.source, folder):
            return name + mount.source.removeprefix(folder)
    return mount.source


def _finalize(value: Any) -> Any:
    """Clean every text that a template prints, but for markup of its own."""
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
