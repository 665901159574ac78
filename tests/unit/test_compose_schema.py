"""The table of valid Compose files, compared with the recorded verdicts of Compose 2.40 on each
case (``tests/recorded/compose-2.40``), and its error sentences.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from tests.unit import compose_corpus
from tests.unit.wrong_outcomes import assert_sentence, dump, failures
from workstation.compose import rules as compose_rules
from workstation.compose import schema as compose_schema
from workstation.errors import UserError
from workstation.stack import Stack, StackError, parse

PLACE = "templates/stacks/made-up/compose.yaml.j2"


def judged(content: Any, template: str = "", text: str = "") -> Stack:
    text = text or dump(content)
    found = parse(text, "/opt/stacks/made-up", PLACE, {}, template)
    compose_rules.check(found, PLACE, set())
    return found


def refusal(keys: dict[str, Any], **top: Any) -> str:
    """Return the error about a service with these keys."""
    service = {"image": "docker.io/a/b:1", **keys}
    with pytest.raises(StackError) as caught:
        judged({"name": "made-up", "services": {"web": service}, **top})
    assert_sentence(str(caught.value))
    return str(caught.value)


# Cases in which the table accepts less than Compose, and why.
STRICTER = {
    r"\.(restart|pull_policy|stop_signal|platform|isolation|runtime|userns_mode|uts|ipc|pid)$": (
        "the Engine refuses what it does not know, or Compose takes it for something else"
    ),
    r"\.(cap_add|cap_drop|security_opt|device_cgroup_rules|network_mode|ulimits)(\.\d)?$": (
        "the Engine refuses it when the container is made, after images were built"
    ),
    r"\.(mode|endpoint_mode|failure_action|condition|format)$": "nobody knows such a word",
    r"\.devices(\.\d(\.permissions)?)?$": "the Engine refuses it when the container is made",
    r"\.volumes\.\d(\.(type|consistency|bind\.propagation))?$": (
        "Compose overlooks an option that it does not know, and a section of another type"
    ),
    r"\.tmpfs(\.\d|\.size)?$": "no folder of the container, or no option of tmpfs",
    r"\.(ipv[46]_address|link_local_ips(\.0)?|mac_address|dns(\.0)?|extra_hosts)$": (
        "the Engine refuses what is no address"
    ),
    r"\.ipam\.config\.0\.": "the Engine refuses what is no address or network",
    r"\.(cpu\w+|pids_limit|retries|max_failure_ratio|value|context_size|rate|mem_swappiness)$": (
        "a fraction or a negative number of what has none"
    ),
    r"\.(mem_limit|mem_reservation|memswap_limit|shm_size|memory)$": (
        "a number alone is bytes: the Engine refuses so few, and 8 was meant as 8gb"
    ),
    r"\.expose(\.\d)?$": "no port",
    r"\.(stop_grace_period|interval)$": "the Engine refuses less than a millisecond",
    r"\.test$": "a check that runs nothing, or words that nobody would run",
    r"\.environment$": "the Engine refuses a variable without a name",
    r"\.gpus(\.0(\.\w+)?)?~?$": "Compose overlooks the key",
    r"\.external$": "its older form",
    r"\.(target|source|path|driver|name|type|image|model|file|size|group_add\.\d|0)$": (
        "an empty text is no name"
    ),
}


def test_what_the_table_refuses_is_wrong_for_compose_and_the_other_way_round():
    """In some ten thousand files that differ from a valid one in one value or one key."""
    verdicts = {name: iter(letters) for name, letters in compose_corpus.record().items()}
    used: Counter[str] = Counter()

    def check(case: tuple[str, tuple[Any, ...], Any, str]) -> None:
        name, path, value, key = case
        content = compose_corpus.changed(path, value, key)
        found = next(compose_schema.problems(content), None)
        if next(verdicts[name]) == "y":
            reason = next((one for one in STRICTER if re.search(one, name)), "")
            assert not found or reason, found
            used[reason] += bool(found)
        elif not found:
            with pytest.raises(UserError) as caught:
                judged(content)
            assert_sentence(str(caught.value))

    cases = list(compose_corpus.cases())
    failures(cases, check)
    assert len(cases) > 9000
    assert all(next(rest, "") == "" for rest in verdicts.values())
    assert [one for one in STRICTER if not used[one]] == []


def test_a_file_with_every_key_is_taken():
    """The file from which the cases are made."""
    assert len(judged(compose_corpus.EVERYTHING).services) == 3


@pytest.mark.parametrize(
    "keys",
    [
        {"label_file": "./a.labels"},
        {"pull_refresh_after": "1d"},
        {"labels": ["a=b"]},
        {"restart": "on-failure:3"},
        {"healthcheck": {"disable": True}},
        {"volumes": ["/srv/a:/a:ro,z,rslave"]},
        {"tmpfs": "/run:size=50%,mode=1777"},
        {"devices": ["nvidia.com/gpu=all", "/dev/dri", "/dev/a:mr"]},
        {"cap_add": ["CAP_NET_ADMIN", "sys_nice"]},
        {"stop_signal": "SIGRTMIN+3"},
        {"runtime": "io.containerd.runsc.v1", "logging": {"driver": "grafana/loki-docker-driver"}},
        {"extra_hosts": {"nas": "192.168.0.6", "host.docker.internal": "host-gateway"}},
        {"privileged": "yes", "mem_limit": "1.5g", "cpus": "0.5"},
        {"x-anything": {"a": [1]}},
    ],
)
def test_what_is_usual_is_taken(keys: dict[str, Any]):
    """In each form that it can have."""
    service = {"image": "docker.io/a/b:1", **keys}
    parse(dump({"name": "made-up", "services": {"web": service}}))


WRONG = {
    "deploy.resources.limts": ({"deploy": {"resources": {"limts": {}}}}, "limits"),
    "limits.memroy": ({"deploy": {"resources": {"limits": {"memroy": "1g"}}}}, "memory"),
    "reservations.devcies": (
        {"deploy": {"resources": {"reservations": {"devcies": []}}}},
        "devices",
    ),
    "logging.drvier": ({"logging": {"drvier": "local"}}, "driver"),
    "nofile.sfot": ({"ulimits": {"nofile": {"sfot": 1, "hard": 1}}}, "soft"),
    "default.alises": ({"networks": {"default": {"alises": ["a"]}}}, "aliases"),
    "web.conditon": ({"depends_on": {"web": {"conditon": "service_started"}}}, "condition"),
    "bind.create_host_pth": (
        {
            "volumes": [
                {"type": "bind", "source": "/a", "target": "/a", "bind": {"create_host_pth": 1}}
            ]
        },
        "create_host_path",
    ),
    "web.x-worksation": ({"x-worksation": {}}, "x-workstation"),
    "restart": ({"restart": "unless-stoped"}, "unless-stopped"),
    "pull_policy": ({"pull_policy": "alwyas"}, "always"),
    "network_mode": ({"network_mode": "hots"}, "host"),
    "cap_add[0]": ({"cap_add": ["SYS_ADMN"]}, "SYS_ADMIN"),
    "cap_drop[0]": ({"cap_drop": ["AL"]}, "ALL"),
    "ulimits.nofiles": ({"ulimits": {"nofiles": 1}}, "nofile"),
    "volumes[0]": ({"volumes": ["/a:/a:rox"]}, "ro"),
    "web.condition": ({"depends_on": {"web": {"condition": "service_healty"}}}, "service_healthy"),
    "capabilities[0]": (
        {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gup"]}]}}}},
        "gpu",
    ),
    "devices[0].driver": (
        {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvida"}]}}}},
        "nvidia",
    ),
    "logging.driver": ({"logging": {"driver": "jsonfile"}}, "json-file"),
    "stop_signal": ({"stop_signal": "SIGTREM"}, "SIGTERM"),
    "security_opt[0]": ({"security_opt": ["no-new-privilege:true"]}, "no-new-privileges:true"),
    "runtime": ({"runtime": "nvdia"}, "nvidia"),
    "labels.traefik.enabel": ({"labels": {"traefik.enabel": "true"}}, "traefik.enable"),
}


@pytest.mark.parametrize("place", WRONG)
def test_a_near_miss_is_refused_with_its_place_and_the_nearest_name(place: str):
    """For keys, and for words from a fixed list."""
    keys, meant = WRONG[place]
    said = refusal(keys)
    assert f"{place} " in said
    assert f"(did you mean {meant}?)" in said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"privileged": "yess"}, "services.web.privileged is 'yess': expected true or false"),
        ({"mem_limit": "lots"}, "services.web.mem_limit is 'lots': expected a size with its unit"),
        (
            {"healthcheck": {"retries": "abc"}},
            "healthcheck.retries is 'abc': expected a whole number",
        ),
        ({"command": 5}, "services.web.command is 5: expected"),
        ({"command": 'a "b'}, "expected a command without unclosed quotes"),
        ({"environment": [["a"]]}, "services.web.environment[0] is ['a']: expected NAME=value"),
        ({"volumes": ["/a:/a:or"]}, "volumes[0] has the option 'or', which Compose ignores"),
        ({"volumes": ["/a:/a:ro,rw"]}, "both ro and rw"),
        ({"healthcheck": {"interval": "1m30"}}, "interval is '1m30': expected a duration"),
        ({"healthcheck": {"test": ["true"]}}, "expected CMD, CMD-SHELL or NONE"),
        ({"dns": "nas"}, "services.web.dns is 'nas': expected an IP address"),
        ({"tmpfs": ["/a:noexe"]}, "expected a tmpfs option instead of 'noexe' (did you mean"),
        ({"container_name": None}, "services.web.container_name is None"),
        ({"environment": {1: "a"}}, "environment has the key 1, which is not text"),
        ({"env_file": "web.env"}, "`env_file` names web.env, which is not in the stack"),
        ({"extends": "db"}, "`extends` hides keys"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(keys: dict[str, Any], expected: str):
    """With its path."""
    assert expected in refusal(keys)


TEMPLATE = """\
{# a comment of the template,
   in two lines #}
name: {{ project }}
x-common: &common
  restart: unless-stopped
  mem_limt: 1gb
services:
{% for name in ["a", "b"] %}
  {{ name }}:
    image: docker.io/a/b:1
{% endfor %}
  c:
    <<: *common
    image: docker.io/a/b:1
    deploy:
      resources:
        limits: {memory: lots}
"""
RENDERED = """\

name: made-up
x-common: &common
  restart: unless-stopped
  mem_limt: 1gb
services:
  a:
    image: docker.io/a/b:1
  b:
    image: docker.io/a/b:1
  c:
    <<: *common
    image: docker.io/a/b:1
    deploy:
      resources:
        limits: {memory: lots}
"""


def test_the_line_is_that_of_the_template():
    """Also for a key that comes from an anchor; there is no line for the output of a loop."""
    with pytest.raises(StackError) as caught:
        judged(None, TEMPLATE, RENDERED)
    assert str(caught.value).startswith(f"{PLACE} line 6: services.c.mem_limt is not a key")
    with pytest.raises(StackError) as caught:
        judged(None, TEMPLATE, RENDERED.replace("mem_limt", "mem_limit"))
    assert str(caught.value).startswith(
        f"{PLACE} line 17: services.c.deploy.resources.limits.memory"
    )
    with pytest.raises(StackError) as caught:
        judged(None, TEMPLATE, RENDERED.replace("  a:\n", "  a:\n    init: 5\n", 1))
    assert str(caught.value).startswith(f"{PLACE}: services.a.init is 5")


def test_a_file_that_is_no_yaml_names_the_line_as_rendered():
    """That line is not one of the template."""
    with pytest.raises(StackError, match=r"\.j2, as rendered, line 3 is not valid YAML"):
        judged(None, "{% x %}", "name: a\nservices: [\n")
