"""The routes of our own Traefik: the labels of the stacks' services, as files that it watches.

Traefik can read labels from Docker, but needs Docker's socket for that: whoever breaks into a
program that parses everybody's HTTP would own the machine. So a run translates the labels for it.

A file of Traefik has the same keys as labels, without regard to case, and accepts text for numbers,
flags and lists (tried with Traefik 3.7). What differs: a service's address, which Docker would
know; the names of middlewares; and options such as ``tls``, which labels switch on with ``true``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from workstation.stack import Service, Stack, StackError
from workstation.traefik import rules
from workstation.traefik.labels import FALSE, TREE, TRUE, pairs

ROUTES = "routes"
"""The folder of these files, in that of the proxy's stack."""

GUARD = "workstation-same-origin"
"""The middleware that takes from answers what would let pages of other origins read them."""

_PART = re.compile(r"(.+)\[([0-9]{1,3})\]")


def routes(
    stack: Stack,
    logins: Mapping[str, str],
    origins: Iterable[str] = (),
    further: Mapping[str, object] | None = None,
) -> bytes:
    """Return the file with the routes of a stack's running services; empty if none has one.

    + logins: service -> the middleware that asks for a login; empty for none
    + origins: further origins whose pages may use the services, such as ``https://portal.example``
    + further: keys of each router, such as those for HTTPS

    Raises StackError for a route that lacks what Docker would have told Traefik.
    """
    found: dict[str, Any] = {}
    for service in stack.running:
        one = _plain(_nested(pairs(service.keys.get("labels") or {})), TREE)
        if one.get("enable") not in TRUE:
            continue
        _addressed(one, stack, service)
        for name, router in list(one.get("http", {}).get("routers", {}).items()):
            login = logins.get(service.name, "")
            router = {**router, **(further or {})}
            one["http"]["routers"].update(_guarded(name, router, service, login, [*origins]))
        _merge(found, {key: one[key] for key in ("http", "tcp", "udp") if key in one})
    return written(found) if found else b""


def written(content: Mapping[str, Any]) -> bytes:
    """Return a file for Traefik, which runs it through Go's templates before it parses it."""
    text = yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False, width=1000)
    return text.replace("{{", '{{ "{{" }}').encode()


def _nested(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return labels as nested mappings; the value of a label that others continue has no name."""
    found: dict[str, Any] = {}
    for label, value in labels.items():
        first, *parts = label.split(".")
        if first.lower() != "traefik":
            continue
        # Names of routers and headers keep their case.
        kept = (2, *range(4, 9)) if [*map(str.lower, parts[1:2])] == ["middlewares"] else (2,)
        parts = [part if at in kept else part.lower() for at, part in enumerate(parts)]
        place = found
        for part in parts:
            listed = _PART.fullmatch(part)
            place = place.setdefault(listed[1] if listed else part, {})
            if listed:
                place = place.setdefault(int(listed[2]), {})
        place[""] = value
    return found


def _plain(value: dict[Any, Any], tree: Any) -> Any:
    """Return nested labels as a file has them.

    + tree: what Traefik knows below this place (``labels.TREE``)
    """
    if {*value} == {""}:
        switch = isinstance(tree, Mapping) and "" in tree
        return {} if switch and value[""] in TRUE else value[""]
    if value and all(isinstance(key, int) for key in value):
        return [_plain(value[key], tree) for key in sorted(value)]
    known = {} if isinstance(tree, str) else tree
    return {
        key: _plain(entry, known.get(key.lower(), known.get("*", {})))
        for key, entry in value.items()
        if key and not ({*entry} == {""} and _off(entry[""], known.get(key.lower())))
    }


def _off(value: str, tree: Any) -> bool:
    """Return whether a label switches an option off, which a file does by leaving it out."""
    return isinstance(tree, Mapping) and "" in tree and value in FALSE


def _addressed(found: dict[str, Any], stack: Stack, service: Service) -> None:
    """Give each of Traefik's services in the labels the address of the container, and each router
    its service and middlewares, by the names that they have in a file."""
    name = service.keys.get("container_name") or f"{stack.name}-{service.name}-1"
    for kind in ("http", "tcp", "udp"):
        part = found.get(kind, {})
        services, routers = part.get("services", {}), part.get("routers", {})
        for one in services.values():
            balancer = one.setdefault("loadbalancer", {})
            server = balancer.pop("server", {})
            if not {"port", "url"} & {*server}:
                raise _incomplete(stack, service, f"{kind}.services.NAME.loadbalancer.server.port")
            at = f"{name}:{server.pop('port', '')}"
            if kind == "http":
                server.setdefault("url", f"{server.pop('scheme', 'http')}://{at}")
            else:
                server["address"] = at
            balancer["servers"] = [server]
        for router, one in routers.items():
            if kind == "http" and not one.get("rule"):
                raise _incomplete(stack, service, f"http.routers.{router}.rule")
            if "service" not in one and len(services) != 1:
                raise _incomplete(stack, service, f"{kind}.routers.{router}.service")
            one["service"] = _local(one.get("service", next(iter(services), "")))
            if one.get("middlewares"):
                one["middlewares"] = [_local(name) for name in one["middlewares"].split(",")]


def _incomplete(stack: Stack, service: Service, label: str) -> StackError:
    return StackError(
        f"Service {service.name} of {stack.name} has a route, but no label traefik.{label}, "
        "which our own proxy needs: add it.",
        id="route-incomplete",
    )


def _local(name: str) -> str:
    """Return the name of something from labels, as it is called in the file that they become."""
    return name.strip().removesuffix("@docker")


def _guarded(
    name: str, router: dict[str, Any], service: Service, login: str, origins: list[str]
) -> dict[str, Any]:
    """Return a router that only lets in pages of its own origin and people who have logged in;
    with a second one for what stays open."""
    own = {**router, "rule": _same_origin(router["rule"], origins)}
    others = router.get("middlewares", [])
    found = {name: {**own, "middlewares": [*([login] if login else []), GUARD, *others]}}
    if login and service.open:
        # Of two routers, Traefik prefers that with the longer rule.
        priority = {"priority": str(int(router["priority"]) + 1)} if "priority" in router else {}
        rule = {"rule": f"({own['rule']}) && ({service.open})"}
        found[f"{name}-open"] = {**own, **rule, **priority, "middlewares": [GUARD, *others]}
    return found


def _same_origin(rule: str, origins: list[str]) -> str:
    """Return a rule that does not match requests from a page of another origin.

    Browsers name the origin with every request by which a page can change something elsewhere, and
    with websockets. Programs send none.
    """
    hosts = rules.hosts(rule)
    if not hosts:
        return rule
    names = "|".join(re.escape(host.lower()) for host in hosts)
    wanted = "|".join([f"https?://({names})(:[0-9]+)?", *map(re.escape, origins)])
    return f"({rule}) && (!HeaderRegexp(`Origin`, `.`) || HeaderRegexp(`Origin`, `^({wanted})$`))"


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the entries of nested mappings to others."""
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
