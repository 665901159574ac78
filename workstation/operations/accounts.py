"""System users and groups: created if missing, never changed if they exist."""

from __future__ import annotations

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.machine import Accounts
from workstation.facts.shell import script
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together


@operation
def system_user(user: str, home: str, groups: list[str]) -> Changes:
    """
    Ensure a system user with a group of the same name.

    + user: its name
    + home: its home folder, created with it; empty: none
    + groups: further groups; the user joins those that exist
    """
    found = ask(host, Accounts, users=[user], groups=[user, *groups], uid=0, gid=0)
    if f"user:{user}" in found:
        host.noop(f"user {user} exists")
        return
    joined = [group for group in groups if f"group:{group}" in found]
    made = script(
        """
        getent group "$1" >/dev/null || groupadd --system -- "$1"
        useradd --system --gid "$1" --shell /usr/sbin/nologin ${2:+--create-home} \\
          --home-dir "${2:-/nonexistent}" ${3:+--groups "$3"} -- "$1"
        """,
        user,
        home,
        ",".join(joined),
    )
    cause = f"in {', '.join(joined)}" if joined else ""
    yield Change("+", f"user {user}", cause, commands=[made])


@operation
def shared_identity(user: str, uid: int, group: str, gid: int) -> Changes:
    """
    Ensure the user and group that own outputs and share models. Their ids are fixed because
    containers and mount options only know numbers.

    + user, uid: name and number of the user
    + group, gid: name and number of its group

    Raises HostError if a name or a number is already taken.
    """
    found = ask(host, Accounts, users=[user], groups=[group], uid=uid, gid=gid)
    holders = (
        ("gid", "group", group, gid, "SERVICE_GID", found.get(f"group:{group}")),
        ("uid", "user", user, uid, "SERVICE_UID", found.get(f"user:{user}", "").split(":")[0]),
    )
    for id_kind, kind, name, number, setting, current in holders:
        holder = found.get(f"{id_kind}:{number}", name)
        if holder != name:
            raise HostError(
                f"{id_kind} {number} belongs to {kind} {holder} on {host.name}: set {setting} to "
                "a free number.",
                id="user-id-conflict",
            )
        if current and current != str(number):
            raise HostError(
                f"{kind} {name} has {id_kind} {current} on {host.name}, not {number}: set "
                f"{setting} to {current}, or choose another name.",
                id="user-id-conflict",
            )
    missing = [
        kind for kind, name in (("group", group), ("user", user)) if f"{kind}:{name}" not in found
    ]
    if not missing:
        host.noop(f"{user}:{group} exist")
        return
    names = {"group": group, "user": user}
    made = script(
        """
        getent group "$3" >/dev/null || groupadd --gid "$4" -- "$3"
        getent passwd "$1" >/dev/null || useradd --uid "$2" --gid "$3" --no-create-home \\
          --home-dir /nonexistent --shell /usr/sbin/nologin -- "$1"
        """,
        user,
        uid,
        group,
        gid,
    )
    yield together([Change("+", f"{kind} {names[kind]}") for kind in missing], [made])
