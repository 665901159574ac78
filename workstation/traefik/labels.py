"""Labels for Traefik, which nothing else checks: a misspelled label means no route.

Traefik 3 ignores unknown labels that begin with ``traefik.``, and drops all labels of a container
if one below ``traefik.http`` is wrong. Source: doc.traefik.io, "Docker Routing" and "Middlewares";
each label in ``tests/unit/test_traefik.py`` was verified with Traefik 3.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workstation.errors import named, nearest, shown
from workstation.traefik import rules as traefik_rules
from workstation.traefik.rules import RuleError

TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")

# Kinds of values at the end of a label; a mapping continues it, and "" in it is its own value.
_ANY, _FLAG, _NUMBER, _PORT, _RULE, _SCHEME = "any", "flag", "number", "port", "rule", "scheme"
_Tree = Mapping[str, Any]

_DOMAINS = {"main": _ANY, "sans": _ANY}
_TLS = {"": _FLAG, "certresolver": _ANY, "options": _ANY, "domains": _DOMAINS}
_COOKIE = {
    "": _FLAG,
    **dict.fromkeys(("name", "samesite", "domain", "path"), _ANY),
    **dict.fromkeys(("secure", "httponly"), _FLAG),
    "maxage": _NUMBER,
}
_STRATEGY = {
    "depth": _NUMBER,
    "excludedips": _ANY,
    "ipv6subnet": _NUMBER,
}
_SOURCE = {
    "ipstrategy": _STRATEGY,
    "requestheadername": _ANY,
    "requesthost": _FLAG,
}


def _options(text: str, **others: Any) -> _Tree:
    """Return the options of a middleware: those whose values are not checked, and others."""
    return {**dict.fromkeys(text.split(), _ANY), **others}


_FILES = _options("ca cert key", insecureskipverify=_FLAG, caoptional=_FLAG)
_SUBJECT = dict.fromkeys(
    (
        *("country", "province", "locality", "organization"),
        *("commonname", "serialnumber", "domaincomponent"),
    ),
    _FLAG,
)
_MIDDLEWARES: _Tree = {
    "addprefix": _options("prefix"),
    "basicauth": _options("users usersfile realm headerfield", removeheader=_FLAG),
    "buffering": _options(
        "retryexpression disablerequestbuffer",
        **dict.fromkeys(
            (
                *("maxrequestbodybytes", "memrequestbodybytes"),
                *("maxresponsebodybytes", "memresponsebodybytes"),
            ),
            _NUMBER,
        ),
    ),
    "chain": _options("middlewares"),
    "circuitbreaker": _options(
        "expression checkperiod fallbackduration recoveryduration", responsecode=_NUMBER
    ),
    "compress": {
        "": _FLAG,
        **_options(
            "excludedcontenttypes includedcontenttypes encodings defaultencoding",
            minresponsebodybytes=_NUMBER,
        ),
    },
    "contenttype": {"": _FLAG, "autodetect": _FLAG},
    "digestauth": _options("users usersfile realm headerfield", removeheader=_FLAG),
    "encodedcharacters": {"**": _ANY},
    "errors": _options("status service query", statusrewrites={"*": _NUMBER}),
    "forwardauth": _options(
        "address authresponseheaders authresponseheadersregex authrequestheaders headerfield "
        "addauthcookiestoresponse",
        **dict.fromkeys(
            (
                *("trustforwardheader", "forwardbody", "preservelocationheader"),
                "preserverequestmethod",
            ),
            _FLAG,
        ),
        maxbodysize=_NUMBER,
        maxresponsebodysize=_NUMBER,
        tls=_FILES,
    ),
    "grpcweb": _options("alloworigins"),
    "headers": _options(
        "accesscontrolallowheaders accesscontrolallowmethods accesscontrolalloworiginlist "
        "accesscontrolalloworiginlistregex accesscontrolexposeheaders allowedhosts "
        "hostsproxyheaders sslhost customframeoptionsvalue custombrowserxssvalue "
        "contentsecuritypolicy contentsecuritypolicyreportonly publickey referrerpolicy "
        "featurepolicy permissionspolicy",
        **dict.fromkeys(
            (
                *("accesscontrolallowcredentials", "addvaryheader", "stsincludesubdomains"),
                *("stspreload", "forcestsheader", "framedeny", "contenttypenosniff"),
                *("browserxssfilter", "isdevelopment", "sslredirect", "ssltemporaryredirect"),
                "sslforcehost",
            ),
            _FLAG,
        ),
        accesscontrolmaxage=_NUMBER,
        stsseconds=_NUMBER,
        customrequestheaders={"*": _ANY},
        customresponseheaders={"*": _ANY},
        sslproxyheaders={"*": _ANY},
    ),
    "inflightreq": _options("", amount=_NUMBER, sourcecriterion=_SOURCE),
    "ipallowlist": _options(
        "sourcerange", ipstrategy={"": _FLAG, **_STRATEGY}, rejectstatuscode=_NUMBER
    ),
    "ipwhitelist": _options("sourcerange", ipstrategy={"": _FLAG, **_STRATEGY}),
    "passtlsclientcert": _options(
        "",
        pem=_FLAG,
        info=_options(
            "",
            **dict.fromkeys(("notafter", "notbefore", "sans", "serialnumber"), _FLAG),
            subject={**_SUBJECT, "organizationalunit": _FLAG},
            issuer=_SUBJECT,
        ),
    ),
    "plugin": {"*": {"**": _ANY}},
    "ratelimit": _options(
        "period", average=_NUMBER, burst=_NUMBER, sourcecriterion=_SOURCE, redis={"**": _ANY}
    ),
    "redirectregex": _options("regex replacement", permanent=_FLAG),
    "redirectscheme": _options("scheme port", permanent=_FLAG),
    "replacepath": _options("path"),
    "replacepathregex": _options("regex replacement"),
    "retry": _options("initialinterval timeout status", attempts=_NUMBER),
    "stripprefix": _options("prefixes", forceslash=_FLAG),
    "stripprefixregex": _options("regex"),
}
_HTTP = {
    "routers": {
        "*": {
            "rule": _RULE,
            **dict.fromkeys(
                ("entrypoints", "middlewares", "service", "rulesyntax", "parentrefs"), _ANY
            ),
            "priority": _NUMBER,
            "tls": _TLS,
            "observability": {
                **dict.fromkeys(("accesslogs", "metrics", "tracing"), _FLAG),
                "traceverbosity": _ANY,
            },
        }
    },
    "services": {
        "*": {
            "loadbalancer": {
                "server": {
                    "port": _PORT,
                    "scheme": _SCHEME,
                    "url": _ANY,
                    "weight": _NUMBER,
                    "preservepath": _FLAG,
                    "fenced": _FLAG,
                },
                "passhostheader": _FLAG,
                "strategy": _ANY,
                "sticky": {"": _FLAG, "cookie": _COOKIE},
                "serverstransport": _ANY,
                "responseforwarding": {"flushinterval": _ANY},
                "healthcheck": {
                    **dict.fromkeys(
                        (
                            *("path", "scheme", "hostname", "method", "interval", "timeout"),
                            *("unhealthyinterval", "mode"),
                        ),
                        _ANY,
                    ),
                    "port": _PORT,
                    "status": _NUMBER,
                    "followredirects": _FLAG,
                    "headers": {"*": _ANY},
                },
                "passivehealthcheck": {
                    "failurewindow": _ANY,
                    "maxfailedattempts": _NUMBER,
                },
            }
        }
    },
    "middlewares": {"*": _MIDDLEWARES},
    "serverstransports": {"*": {"**": _ANY}},
    "models": {"*": {"**": _ANY}},
}
_STREAMS = {
    "routers": {
        "*": {
            **dict.fromkeys(("rule", "entrypoints", "middlewares", "service", "rulesyntax"), _ANY),
            "priority": _NUMBER,
            "tls": {**_TLS, "passthrough": _FLAG},
        }
    },
    "services": {"*": {"loadbalancer": {"**": _ANY}}},
    "middlewares": {
        "*": {
            "inflightconn": {"amount": _NUMBER},
            "ipallowlist": _options("sourcerange"),
            "ipwhitelist": _options("sourcerange"),
        }
    },
}
TREE: _Tree = {
    "enable": _FLAG,
    "docker": {"network": _ANY, "lbswarm": _FLAG, "allownonrunning": _FLAG},
    "swarm": {"network": _ANY, "lbswarm": _FLAG},
    "http": _HTTP,
    "tcp": _STREAMS,
    "udp": {
        "routers": {"*": {"entrypoints": _ANY, "service": _ANY}},
        "services": {"*": {"loadbalancer": {"**": _ANY}}},
    },
    "tls": {"stores": {"*": {"**": _ANY}}},
}


def pairs(labels: Mapping[str, Any] | list[str] | None) -> dict[str, str]:
    """Return labels, in either syntax of Compose, as text; true and false as in YAML."""
    if isinstance(labels, list):
        return dict(str(label).partition("=")[::2] for label in labels)
    return {
        name: str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
        for name, value in (labels or {}).items()
    }


def routed_host(labels: Mapping[str, Any] | list[str]) -> str:
    """Return the first host name of the first router in the labels of a service, or an empty
    string."""
    found = {name.lower(): value for name, value in pairs(labels).items()}
    if found.get("traefik.enable") not in TRUE:
        return ""
    rule = re.compile(r"traefik\.http\.routers\.[^.]+\.rule")
    rules = (value for label, value in found.items() if rule.fullmatch(label))
    return next((name for value in rules for name in traefik_rules.hosts(value)), "")


def problems(labels: Mapping[str, Any] | list[str]) -> Iterator[tuple[str, str]]:
    """Yield problems in the labels of a service: the label, and the end of a sentence about it."""
    found = pairs(labels)
    for label, value in found.items():
        first, _, rest = label.partition(".")
        if first != "traefik":
            if rest and (hint := nearest(first, {"traefik"}, 0.8)):
                yield label, f"is not a label that Traefik reads{hint}"
            continue
        kind, problem = _kind(label)
        if problem := problem or _value(kind, value):
            yield label, problem
    routers = [one for one in found if re.match(r"traefik\.(http|tcp|udp)\.routers\.", one.lower())]
    if routers and "traefik.enable" not in {label.lower() for label in found}:
        yield (
            routers[0],
            'defines a route, but traefik.enable is missing: set it to "true", or to "false" for '
            "no route",
        )


def _kind(label: str) -> tuple[str, str]:
    """Return the kind of a label's value and an empty string, or an empty string and the problem of
    the label."""
    parts = label.split(".")
    tree: Any = TREE
    for number, part in enumerate(parts[1:], 1):
        name = re.sub(r"\[[0-9]+\]$", "", part).lower()
        if isinstance(tree, str):
            return "", f"continues after {'.'.join(parts[:number])}, which needs a value instead"
        if "**" in tree:
            return _ANY, ""
        if "*" in tree and name:
            tree = tree["*"]
        elif name and name in tree:
            tree = tree[name]
        else:
            known = [one for one in tree if one not in ("", "*")]
            if hint := nearest(part, known):
                right = re.sub(r".*did you mean (.*)\?.*", r"\1", hint)
                meant = ".".join([*parts[:number], right, *parts[number + 1 :]])
                return "", f"is not a label that Traefik 3 reads (did you mean {named(meant)}?)"
            if label.startswith("traefik.http.middlewares.") and number > 4:
                return _ANY, ""  # perhaps a newer option
            return "", (
                f"is not a label that Traefik 3 reads: after {'.'.join(parts[:number])} it expects "
                f"{', '.join(known) or 'a name'}"
            )
    if isinstance(tree, str):
        return tree, ""
    if "**" in tree:
        return _ANY, ""
    if "" in tree:
        return str(tree[""]), ""
    more = [one for one in tree if one not in ("", "*")]
    return "", f"ends too early: Traefik 3 expects {', '.join(more) or 'a name'} after it"


def _value(kind: str, value: str) -> str:
    """Return the problem of a label's value, or an empty string."""
    if kind == _FLAG and value not in TRUE + FALSE:
        return f'is {shown(value)}: expected "true" or "false"'
    if kind == _NUMBER and not re.fullmatch(r"-?[0-9]{1,18}", value):
        return f"is {shown(value)}: expected a whole number"
    if kind == _PORT and not (re.fullmatch(r"[0-9]{1,5}", value) and 0 < int(value) < 65536):
        return f"is {shown(value)}: expected a port of the container, from 1 to 65535"
    if kind == _SCHEME and value not in ("http", "https", "h2c"):
        return f"is {shown(value)}: expected http, https or h2c"
    if kind == _RULE:
        try:
            traefik_rules.parse(value)
        except RuleError as error:
            return f"is {shown(value)}, which is not a valid rule in Traefik 3: {error}"
    return ""
