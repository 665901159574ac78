"""Labels and rules for Traefik. Traefik 3.7.15 was tested with each of them, through a simulated
Docker API with containers that have these labels; labels that it ignores or misinterprets are
rejected here, too.
"""

from __future__ import annotations

from typing import Any

import pytest

from workstation.traefik import labels as traefik_labels
from workstation.traefik import rules as traefik_rules
from workstation.traefik.rules import RuleError

ENABLE = {"traefik.enable": "true"}

RIGHT = [
    *("Host(`a.b`)", 'Host("a.b")', "host(`a.b`)", "HOST(`a`)", " Host( `a.b` ) ", "Host (`a`)"),
    *("Host(`A.B`)", "Host(`*.b`)", "Host(`a_b`)", "Host(`xn--a.de`)", "Host(`a`,)"),
    *("Host(`a.b`) && PathPrefix(`/x`)", "!Host(`a`)", "!!Host(`a`)", "((Host(`a`)))"),
    "(Host(`a`) || Host(`b`)) && !Path(`/c`)",
    "Host(`a`) &&\n Host(`b`)",
    *("HostRegexp(`^.+\\.b$`)", "HostRegexp(`^[a-z]+\\.(b|c)$`)", "PathPrefix(`/{a}`)"),
    *("Header(`a`,`b`)", "Query(`a`,`b`)", "Query(`a`)", "QueryRegexp(`a`)", "Method(`GET`)"),
    *("ClientIP(`10.0.0.0/8`)", "ClientIP(`::1`)", "pathprefix(`/a`)", "PATHPREFIX(`/a`)"),
]
WRONG = {
    "Host('a.b')": "write values in backticks, as in Host(`a.example`)",
    "Host(a.b)": "expected a value of Host instead of",
    "Host(“a”)": "expected a value of Host instead of",
    "Host(`a.b`,`c.d`)": "2 values instead of 1: write Host(`a`) || Host(`b`)",
    "Hosts(`a`)": "Hosts is not a matcher of Traefik 3 (did you mean Host?)",
    "hOsT(`a`)": "did you mean Host?",
    "pathPrefix(`/a`)": "did you mean PathPrefix?",
    "Headers(`a`,`b`)": "did you mean Header?",
    "HostSNI(`a`)": "HostSNI is not a matcher",
    "Host(`a.b`) and Path(`/x`)": "expected && or || instead of 'and'",
    "Host(`a.b`) &&": "a matcher such as Host(`...`) instead of the end of the rule",
    "Host(`a.b`": "expected , instead of the end of the rule",
    "Host(`a.b`))": "expected && or || instead of ')'",
    "Host()": "Host has 0 values instead of 1",
    "Host(``)": "Host has an empty value",
    "Header(`a`)": "Header has 1 value instead of 2",
    "Query(`a`,`b`,`c`)": "Query has 3 values instead of 1 or 2",
    "Method(`GET`,`POST`)": "Method has 2 values",
    "ClientIP(`x`)": "not an address or network",
    "PathRegexp(`[`)": "not a valid regular expression",
    "HeaderRegexp(`a`,`(`)": "not a valid regular expression",
    "Host(`ä.de`)": "not a host name",
    "Path(`x`)": "is not a path",
    "Path(`/x`,`/y`)": "Path has 2 values",
    "Host(`a.b`);": "expected && or || instead of ';'",
    "Host(`a.b`) || `x`": "a matcher such as Host(`...`) instead of 'x'",
    "Host(`a`) & Host(`b`)": "instead of '&'",
    "Host(`a`) , Host(`b`)": "instead of ','",
    "Host(`a`)Host(`b`)": "instead of 'Host'",
    "Host(`a`)\n|| Host(`b`)": "a line break here would end the rule",
    "Host:a.b": "expected ( instead of ':'",
    "`Host(a)`": "expected a matcher such as Host(`...`) instead of",
    # Traefik accepts these, but no request ever matches them, or they mean something else.
    "": "a matcher such as Host(`...`) instead of the end of the rule",
    "Host(`a b`)": "not a host name",
    "Host(`https://a.b`)": "leave out https://, ports and paths",
    "Host(`a.b/x`)": "leave out https://, ports and paths",
    "Host(`a.b:8080`)": "leave out https://, ports and paths",
    "HostRegexp(`{sub:[a-z]+}.b`)": "a Traefik 2 pattern",
}


@pytest.mark.parametrize("rule", RIGHT)
def test_a_rule_that_traefik_takes_is_taken(rule: str):
    """In each spelling."""
    assert traefik_rules.parse(rule)


@pytest.mark.parametrize("rule", WRONG)
def test_a_rule_that_traefik_does_not_take_is_refused(rule: str):
    """The error shows the wrong part and what belongs there."""
    with pytest.raises(RuleError) as caught:
        traefik_rules.parse(rule)
    assert WRONG[rule] in str(caught.value)
    assert traefik_rules.hosts(rule) == []


@pytest.mark.parametrize(
    ("rule", "hosts"),
    [
        ('Host("a.b")', ["a.b"]),
        ("PathPrefix(`/x`) && (host(`b`) || Host(`a`))", ["b", "a"]),
        ("!(Host(`a`) || Host(`b`)) && !!Host(`c`)", ["c"]),
        ("HostRegexp(`a`)", []),
    ],
)
def test_the_hosts_of_a_rule_are_those_for_which_it_matches(rule: str, hosts: list[str]):
    """The first one is probed."""
    assert traefik_rules.hosts(rule) == hosts


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({**ENABLE, "traefik.http.routers.x.rule": 'Host("a.b")'}, "a.b"),
        ({"traefik.enable": True, "traefik.HTTP.Routers.x.Rule": "host(`a.b`)"}, "a.b"),
        (["traefik.enable=1", "traefik.http.routers.x.rule=Host(`a.b`)"], "a.b"),
        ({"traefik.enable": "false", "traefik.http.routers.x.rule": "Host(`a.b`)"}, ""),
    ],
)
def test_a_route_is_found_in_every_spelling_that_traefik_has(labels: Any, host: str):
    """After `traefik.`, label names are case-insensitive; the first part is not."""
    assert traefik_labels.routed_host(labels) == host
    assert list(traefik_labels.problems(labels)) == []


KNOWN = [
    "traefik.docker.network=proxy",
    "traefik.http.routers.x.entryPoints=web",
    "traefik.http.routers.x.tls=true",
    "traefik.http.routers.x.tls.certResolver=le",
    "traefik.http.routers.x.tls.domains[0].main=a",
    "traefik.http.routers.x.observability.accesslogs=false",
    "traefik.http.services.x.loadbalancer.server.port=80",
    "traefik.http.services.x.loadbalancer.healthcheck.headers.a=b",
    "traefik.http.services.x.loadbalancer.sticky.cookie=true",
    "traefik.http.middlewares.x.stripprefix.prefixes=/a",
    "traefik.http.middlewares.x.headers.customrequestheaders.X-A=b",
    "traefik.http.middlewares.x.plugin.foo.bar=1",
    "traefik.http.middlewares.x.compress=true",
    "traefik.http.serverstransports.x.insecureskipverify=true",
    "traefik.tcp.routers.x.rule=HostSNI(`*`)",
    "traefik.udp.services.x.loadbalancer.server.port=5",
    "traefik.tls.stores.default.defaultgeneratedcert.resolver=a",
    "com.example.traefik=x",
    "traefikless=x",
]
UNKNOWN = {
    "traefik.enabel=true": "did you mean traefik.enable?",
    "trafik.enable=true": "did you mean traefik?",
    "TRAEFIK.http.routers.x.rule=Host(`a`)": "did you mean traefik?",
    "traefik.http.routers.x.rul=Host(`a`)": "did you mean traefik.http.routers.x.rule?",
    "traefik.http.router.x.rule=Host(`a`)": "did you mean traefik.http.routers.x.rule?",
    "traefik.http.routers.x.entrypoint=web": "did you mean traefik.http.routers.x.entrypoints?",
    "traefik.http.routers.x.tls.domain[0].main=a": "tls.domains.main?",
    "traefik.http.routers.x.rule.y=a": "which needs a value instead",
    "traefik.http.routers.x=a": "ends too early",
    "traefik.http.routers..rule=Host(`a`)": "after traefik.http.routers it expects a name",
    "traefik.http.services.x.loadbalancer.port=80": "after traefik.http.services.x.loadbalancer",
    "traefik.http.services.x.loadbalancer.servers.port=80": "loadbalancer.server.port?",
    "traefik.http.middlewares.x.striprefix.prefixes=/a": "stripprefix.prefixes?",
    "traefik.http.middlewares.x.stripprefix.prefix=/a": "stripprefix.prefixes?",
    "traefik.docker.netwrok=proxy": "did you mean traefik.docker.network?",
    "traefik.frontend.rule=Host:a": "is not a label that Traefik 3 reads",
    "traefik.port=80": "is not a label that Traefik 3 reads",
    "traefik.enable=yes": 'expected "true" or "false"',
    "traefik.http.routers.x.tls=yes": 'expected "true" or "false"',
    "traefik.http.routers.x.priority=a": "expected a whole number",
    "traefik.http.services.x.loadbalancer.server.port=http": "expected a port of the container",
    "traefik.http.services.x.loadbalancer.server.port=99999": "expected a port of the container",
    "traefik.http.services.x.loadbalancer.server.scheme=htps": "expected http, https or h2c",
    "traefik.http.routers.x.rule=Host('a.b')": "which is not a valid rule in Traefik 3",
}


def problems(label: str) -> list[str]:
    name, _, value = label.partition("=")
    labels = {name: value} if name == "traefik.enable" else {**ENABLE, name: value}
    return [problem for _, problem in traefik_labels.problems(labels)]


@pytest.mark.parametrize("label", KNOWN)
def test_a_label_that_traefik_reads_is_taken(label: str):
    """Other people's labels are accepted too."""
    assert problems(label) == []


@pytest.mark.parametrize("label", UNKNOWN)
def test_a_label_that_traefik_does_not_read_is_refused(label: str):
    """The same for a label whose value results in no route."""
    (problem,) = problems(label)
    assert UNKNOWN[label] in problem


def test_a_route_that_is_not_switched_on_is_refused():
    """Nobody would see it, and nothing would check it."""
    ((label, problem),) = traefik_labels.problems({"traefik.http.routers.x.rule": "Host(`a`)"})
    assert label == "traefik.http.routers.x.rule"
    assert "traefik.enable is missing" in problem
