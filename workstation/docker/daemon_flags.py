"""Parse the command line of ``dockerd``. The Engine does not start if an option is set both there
and in ``daemon.json``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# Source: dockerd --help, 26.1 to 28.5.
_SHORT = {
    "b": "bridge",
    "D": "debug",
    "g": "data-root",
    "G": "group",
    "H": "host",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "v": "version",
    "h": "help",
}
_SWITCHES = {
    *("allow-direct-routing", "cri-containerd", "debug", "experimental"),
    *("help", "icc", "init", "ip-forward", "ip-forward-no-drop", "ip-masq", "ip6tables"),
    *("iptables", "ipv6", "live-restore", "no-new-privileges", "raw-logs", "rootless"),
    *("selinux-enabled", "tls", "tlsverify", "userland-proxy", "validate", "version"),
}

# Options whose key in the file has another name.
_KEYS = {
    "add-runtime": "runtimes",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "graph": "data-root",
    "host": "hosts",
    "host-gateway-ip": "host-gateway-ips",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<bare>\w+)|\$)")


def options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option of a command line with its value; ``true`` for a switch.

    + arguments: without the program; in the forms ``--name=value``, ``--name value``, ``-n value``
      and ``-nvalue``
    """
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, given, value = word[2:].partition("=")
        elif word.startswith("-") and word[1:]:
            name, value = _SHORT.get(word[1], word[1]), word[2:].removeprefix("=")
            given = value
        else:
            continue
        if not given:
            takes_one = name not in _SWITCHES and rest and not rest[0].startswith("-")
            value = rest.pop(0) if takes_one else "true"
        yield name, value


def values(arguments: Sequence[str], key: str) -> list[str]:
    """Return the values that a command line sets for a key of ``daemon.json``, in order."""
    return [value for name, value in options(arguments) if _KEYS.get(name, name) == key]


def keys(arguments: Sequence[str]) -> set[str]:
    """Return the keys of ``daemon.json`` that a command line sets."""
    return {_KEYS.get(name, name) for name, _ in options(arguments)}


def started_by(command: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a unit's command with its variables substituted as systemd does it:
    ``$NAME`` as a separate word is split at spaces, ``${NAME}`` is not (systemd.service(5)).

    + command: the part after ``argv[]=`` of ``systemctl show -P ExecStart``, which shows no
      quotation marks, so words that contain spaces are split
    """
    words: list[str] = []
    for word in command.split():
        match = _VARIABLE.fullmatch(word)
        if match and match["bare"]:
            words += [one.strip("\"'") for one in environment.get(match["bare"], "").split()]
        else:
            words.append(_VARIABLE.sub(lambda found: _value(found, environment), word))
    return tuple(words)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    name = found["braced"] or found["bare"]
    return environment.get(name, "") if name else "$"
