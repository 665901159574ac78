"""A CIFS share: in ``/etc/fstab``, mounted, and never written to while unmounted."""

from __future__ import annotations

from pyinfra import host

from workstation import scripts
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.files import Paths
from workstation.facts.shell import HiddenText, script
from workstation.facts.smb import (
    STOPPED,
    Mount,
    MountState,
    ShareAnswer,
    ShareLogin,
    ShareUser,
    ShareUsers,
)
from workstation.findings import failed
from workstation.mounts import cifs, fstab
from workstation.mounts.fstab import Entry, FstabError, escape, unescape, with_entry
from workstation.operations import files, gpu_users, packages
from workstation.operations.base import operation
from workstation.plan import Change, Changes, Group, together
from workstation.preflight import line
from workstation.preflight.storage import mountpoint_findings
from workstation.settings import Settings

_ADVICE = {
    "refused": "the server answered {detail}: check SMB_USER, SMB_PASSWORD and SMB_SHARE in .env",
    "unreachable": "it cannot be reached on port {port} ({detail}): check SMB_SERVER and the "
    "network",
    "silent": "it accepts connections on port {port} but did not answer within {detail}: check "
    "the file server",
    "version": "the server does not support the requested SMB version, {version} ({detail}): set "
    "another one in SMB_OPTIONS in .env, such as vers=2.1 or vers=3.0, or update the server",
    "options": "the kernel's CIFS client rejects the mount options ({detail}): correct "
    "SMB_OPTIONS in .env",
    "ticket": "there is no Kerberos ticket for the mount ({detail}): get one for root with kinit, "
    "or remove sec= from SMB_OPTIONS in .env",
    "absent": "the running kernel lacks the CIFS client or a part of it ({detail}): install the "
    "kernel's extra modules (linux-modules-extra-$(uname -r)) or reboot into the installed kernel",
}


def login_answer(settings: Settings) -> ShareAnswer:
    """Return the server's answer to the credentials of ``settings``, queried from the host with the
    mount's own options."""
    answer: ShareAnswer = ask(
        host,
        ShareLogin,
        server=settings.smb_server,
        share=settings.smb_share,
        user=settings.smb_user,
        domain=settings.smb_domain,
        options=login_options(settings),
        _stdin=HiddenText(settings.smb_password.get_secret_value() + "\n"),
    )
    return answer


def login_options(settings: Settings) -> list[str]:
    """Return those of the mount's options that are passed to the kernel."""
    return cifs.kernel(fstab_entry(settings, credentials_path(settings)).options)


def credentials_path(settings: Settings) -> str:
    """Return where the share's credentials are kept on the host."""
    return f"/etc/ai-workstation/smb-{settings.smb_share}.credentials"


def mount_state(settings: Settings) -> MountState:
    """Return the state of the share's mountpoint."""
    state: MountState = ask(
        host, Mount, target=settings.smb_mount, credentials=credentials_path(settings)
    )
    return state


def explain(answer: ShareAnswer, settings: Settings) -> str | None:
    """Return why the share cannot be used, with the server's own answer; None if it can."""
    if answer.verdict not in _ADVICE:
        return None
    given = dict(option.partition("=")[::2] for option in login_options(settings))
    advice = _ADVICE[answer.verdict].format(
        detail=answer.detail,
        port=given.get("port", "445"),
        version=f"vers={given.get('vers', 'default')}",
    )
    return f"{settings.smb_unc}: {advice}."


@operation
def share(settings: Settings, credentials: files.File, folders: list[str]) -> Changes:
    """
    Ensure the share is in fstab and mounted, with these folders on it.

    + settings: of the host; ``smb_*`` and the service's ids are used
    + credentials: the credentials file
    + folders: subfolders to create on the share

    Raises HostError before anything is changed if the server rejects the credentials, with its own
    answer, or if something else uses the mountpoint.
    """
    target, unc = settings.smb_mount, settings.smb_unc
    entry = fstab_entry(settings, credentials.path)
    found = mount_state(settings)
    for finding in failed(mountpoint_findings(found, target)):
        raise HostError(f"{host.name}: {line(finding)}", id="")  # the finding shows its own
    old = fstab.decode(found.fstab)
    try:
        content = fstab.encode(with_entry(old, entry, found.linked))
    except FstabError as error:
        raise HostError(f"{error}.", id="fstab-conflict") from error
    mounted = same_share(found, entry)
    states = ask(
        host,
        Paths,
        paths=[credentials.path, *(f"{target}/{folder}" for folder in folders if mounted)],
        secret=[credentials.path],
        key=files.DIGEST_KEY,
    )
    new_credentials = list(files.commands_for(credentials, states.get(credentials.path)))
    stale = _stale(found, entry, old) or ("credentials" if new_credentials else "")
    missing = [name for name in folders if not mounted or f"{target}/{name}" not in states]
    mutable = not found.immutable and found.flags
    unread = found.mount.needs_reload
    other = content != found.fstab or not found.share or found.stopped or unread
    flags = _flags(found, entry) if mounted and not stale else ""
    if not (other or stale or missing or mutable or flags):
        host.noop(f"{unc} is mounted on {target}")
        return
    refusal = explain(login_answer(settings), settings)
    if refusal:
        raise HostError(refusal, id="smb-login")

    yield from packages.installed.changes(packages=["cifs-utils"])
    if new_credentials:
        folder = script('mkdir -p -- "$(dirname "$1")"', credentials.path)
        yield Change(
            "~" if credentials.path in states else "+",
            credentials.path,
            "600, hidden",
            commands=[folder, *new_credentials],
        )
    if not found.folder:
        yield Change("+", target, commands=[script('mkdir -p -- "$1"', target)])
    if mutable:
        yield Change(
            "~",
            f"{target} made immutable while nothing is mounted on it",
            commands=[script(scripts.text("smb/immutable.sh"), target)],
        )
    table = files.File("/etc/fstab", content, mode="", backup=True)
    yield from _mounted(settings, found, stale, list(files.present.changes(entries=[table])))
    if flags:
        change = script(scripts.text("smb/flags.sh"), target, flags)
        yield Change("~", f"{unc} mounted on {target}", flags.replace(",", ", "), commands=[change])
    for name in missing:
        make = script('mountpoint -q -- "$1" && mkdir -p -- "$1/$2"', target, name)
        yield Change("+", f"{target}/{name} on the share", commands=[make])


def _mounted(
    settings: Settings, found: MountState, stale: str, new_fstab: list[Change | Group]
) -> Changes:
    """Yield the changes that mount the share by its entry in fstab.

    + stale: how the existing mount differs from the entry, see ``_stale``
    + new_fstab: the changes that write the entry
    """
    target, unc = settings.smb_mount, settings.smb_unc
    automount = found.automount.name if found.automount.active else ""
    again = automount or (stale if found.share else found.stopped)
    changes: list[Change | Group] = []
    if again:
        changes = [*new_fstab, _mounted_again(target, unc, automount, found, stale)]
    elif not found.share:
        mount = script(scripts.text("smb/mount_share.sh"), target)
        changes = [*new_fstab, Change("+", f"{unc} mounted on {target}", commands=[mount])]
    elif new_fstab or found.mount.needs_reload:
        read = Change("~", found.mount.name, "systemd rereads /etc/fstab")
        reload = script(scripts.text("gpu_users/reload.sh"))
        changes = [together(new_fstab or [read], [reload])]
    yield from changes
    if changes:
        yield from gpu_users.lost()
    if found.stopped and not again:
        restart = script(scripts.text("smb/restart.sh"), STOPPED)
        yield together(map(_restarted, found.stopped), [restart])


def _mounted_again(target: str, unc: str, automount: str, found: MountState, stale: str) -> Group:
    """Return the changes that remount the share and restart the containers that use it.

    + automount: the unit that mounts it on access, which is removed
    """
    users = ask(host, ShareUsers, target=target)
    stopped = [user.name for user in users if not (user.fleeting or user.swarm)]
    fleeting = [user.name for user in users if user.fleeting and not user.swarm]
    left = [name for name in found.stopped if name not in (user.name for user in users)]
    at_boot = "the share is mounted at boot, not on first access"
    mounted = f"{unc} mounted on {target}"
    remount = scripts.text("smb/remount.sh")
    return together(
        [
            *([Change("-", automount, at_boot)] if automount else []),
            Change("~", mounted, f"remounted: {stale}") if found.share else Change("+", mounted),
            *map(_interrupted, users),
            *map(_restarted, left),
        ],
        [script(remount, target, automount, STOPPED, *stopped, "--", *fleeting)],
    )


def _interrupted(user: ShareUser) -> Change:
    name = f"container {user.name}"
    if user.swarm:
        return Change("=", name, "keeps the old mount until Swarm replaces it")
    if user.fleeting:
        return Change("~", name, "restarted after the share is remounted")
    return Change("~", name, "stopped while the share is remounted")


def _restarted(name: str) -> Change:
    cause = "restarted: a run that was interrupted left it without the share"
    return Change("~", f"container {name}", cause)


def same_share(found: MountState, entry: Entry) -> bool:
    """Return whether the entry's share is mounted, whatever its options."""
    share = found.share
    same = share is not None and cifs.same_source(share.source, unescape(entry.source))
    return same and share is not None and share.root == "/"


def _flags(found: MountState, entry: Entry) -> str:
    """Return the flags that the existing mount should have, for mount(8); empty if it has them."""
    wanted, share = cifs.flags(entry.options.split(",")), found.share
    return "" if share is None or cifs.flags(share.options) == wanted else ",".join(wanted)


def _stale(found: MountState, entry: Entry, old: str) -> str:
    """Return how the existing mount differs from the entry; empty if it does not.

    Our mounts carry a mark that records their options. For one without, such as one made by hand,
    only the kernel's view and the previous ``/etc/fstab`` are known.

    + old: content of fstab
    """
    if found.share is None:
        return ""
    if not same_share(found, entry):
        return f"source {fstab.printable(found.share.shown)}"
    if 0 < found.mounted_at < found.credentials_at:
        return "credentials are newer"
    different = cifs.drift(entry.options, found.share.options)
    if different or found.automount.active:
        return ", ".join(different) or "it is mounted on access"
    before = [one for _, one in fstab.of(old, entry.where, found.linked)][:1]
    if found.mark:
        changed = found.mark != cifs.mark(entry.options.split(","))
    else:
        changed = any(cifs.changed(one.options, entry.options) for one in before)
    return "other options" if changed else ""


def fstab_entry(settings: Settings, credentials: str) -> Entry:
    """Return the share's entry: booting does not depend on it, and Docker starts after it.

    Nothing on the share is a setuid program or a device, nor a program at all unless
    ``smb_options`` has ``exec`` (mount(8)). Ownership comes from the options, since chown and chmod
    have no effect on CIFS. ``forceuid`` keeps a server with Unix extensions from overriding it
    (mount.cifs(8)).
    ``x-systemd.before`` (systemd.mount(5)) orders the mount before Docker without touching
    Docker's own unit, and Docker still starts when the server is down. ``x-systemd.wanted-by`` is
    not used: with it systemd drops the order after the network that ``_netdev`` adds. mount(8)
    keeps the mark at the end; it tells a later run which options a mount was made with.

    + credentials: path of the credentials file
    """
    own = {
        "credentials": escape(credentials),
        "vers": "3.1.1",
        "uid": str(settings.service_uid),
        "gid": str(settings.service_gid),
        "forceuid": "",
        "forcegid": "",
        "file_mode": "0664",
        "dir_mode": "0775",
        "iocharset": "utf8",
        **dict.fromkeys(cifs.SAFE, ""),
        "_netdev": "",
        "nofail": "",
        "x-systemd.mount-timeout": "30s",
        "x-systemd.before": "docker.service",
    }
    for option in settings.smb_options:
        key, _, value = cifs.meant(option).partition("=")
        own[key] = value
        if key == "exec":
            del own["noexec"]
    options = ",".join(f"{key}={value}" if value else key for key, value in own.items())
    source = escape(settings.smb_unc)
    return Entry(source, escape(settings.smb_mount), "cifs", cifs.marked(source, options))
