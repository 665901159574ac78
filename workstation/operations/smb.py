"""A CIFS share in ``/etc/fstab``, mounted, and never written to while it is not."""

from __future__ import annotations

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.files import Paths
from workstation.facts.shell import HiddenText, script
from workstation.facts.smb import Mount, MountState, ShareAnswer, ShareLogin
from workstation.fstab import Entry, FstabError, escape, unescape, with_entry
from workstation.operations import files, packages
from workstation.operations.base import Commands, operation
from workstation.operations.plan import tell
from workstation.settings import Settings

# Options that the kernel shows of a mount exactly as they were given (mount.cifs(8)); the rest
# of an entry is read by mount, systemd or mount.cifs only.
_VISIBLE = ("vers", "uid", "gid", "file_mode", "dir_mode", "seal", "nobrl", "mfsymlinks", "noperm")

_ADVICE = {
    "refused": "the server answered {detail}: check SMB_USER, SMB_PASSWORD and SMB_SHARE in .env",
    "unreachable": "it cannot be reached on port 445 ({detail}): check SMB_SERVER and the network",
    "absent": "the running kernel has no CIFS client ({detail}): install the kernel's extra "
    "modules (linux-modules-extra-$(uname -r)) or reboot into the installed kernel",
}

# Containers hold the mount that was there when they started: they are stopped around it.
_REMOUNT = """
users=
if command -v docker >/dev/null; then
  for id in $(docker ps -q 2>/dev/null); do
    docker inspect -f '{{range .Mounts}}{{println .Source}}{{end}}' "$id" \\
      | grep -Eq "^$1(/|\\$)" && users="$users $id"
  done
fi
[ -z "$users" ] || docker stop $users >/dev/null
umount "$1" || umount -l "$1"
mount "$1"; status=$?
[ -z "$users" ] || docker start $users >/dev/null
exit $status
"""

# Under a mount the folder is reached in a mount namespace of its own.
_GUARD = """
unshare -m sh -c '
  if findmnt -rn -M "$1" >/dev/null; then umount -l "$1" || exit 1; fi
  chattr +i "$1"' sh "$1"
"""


def explain(answer: ShareAnswer, unc: str) -> str | None:
    """Return why the share cannot be used, with the server's own answer; None if it can."""
    advice = _ADVICE.get(answer.verdict)
    return f"{unc}: {advice.format(detail=answer.detail)}." if advice else None


def login_answer(settings: Settings) -> ShareAnswer:
    """Return what the server says to the credentials of ``settings``, asked from the host."""
    answer: ShareAnswer = host.get_fact(
        ShareLogin,
        server=settings.smb_server,
        share=settings.smb_share,
        user=settings.smb_user,
        domain=settings.smb_domain,
        _stdin=HiddenText(settings.smb_password.get_secret_value() + "\n"),
    )
    return answer


@operation
def share(settings: Settings, credentials: files.File, folders: list[str]) -> Commands:
    """
    Have the share in fstab and mounted, with these folders on it.

    + settings: of the host; what is ``smb_*`` and the service's ids are used
    + credentials: the credentials file
    + folders: sub-folders to make on the share

    Raises HostError with the server's own answer, before anything is changed, if it does
    not accept the credentials.
    """
    target, unc = settings.smb_mount, settings.smb_unc
    entry = fstab_entry(settings, credentials.path)
    found = host.get_fact(Mount, target=target, credentials=credentials.path)
    try:
        fstab = with_entry(found.fstab.decode(), entry).encode()
    except FstabError as error:
        raise HostError(f"{error}.") from error
    states = host.get_fact(
        Paths,
        paths=[credentials.path, *(f"{target}/{folder}" for folder in folders)],
        secret=[credentials.path],
        key=files.DIGEST_KEY,
    )
    stale = _stale(found, entry)
    new_credentials = list(files.commands_for(credentials, states.get(credentials.path)))
    missing = [name for name in folders if not found.source or f"{target}/{name}" not in states]
    if not (fstab != found.fstab or stale or new_credentials or missing or not found.guarded):
        host.noop(f"{unc} is mounted on {target}")
        return
    refusal = explain(login_answer(settings), unc)
    if refusal:
        raise HostError(refusal)

    tools = list(packages.installed._inner(packages=["cifs-utils"]))
    if new_credentials:
        tell("~" if credentials.path in states else "+", credentials.path, "600, hidden")
    if not found.folder:
        tell("+", target)
    if not found.guarded:
        tell("~", f"{target} made immutable while nothing is mounted on it")
    new_fstab = list(
        files.present._inner(entries=[files.File("/etc/fstab", fstab, mode="", backup=True)])
    )
    if not found.source:
        tell("+", f"{unc} mounted on {target}")
    elif stale or new_credentials:
        tell("~", f"{unc} mounted on {target}", f"anew: {stale or 'credentials'}")
    for name in missing:
        tell("+", f"{target}/{name} on the share")

    yield from tools
    if new_credentials:
        yield script('mkdir -p -- "$(dirname "$1")"', credentials.path)
        yield from new_credentials
    if not found.folder:
        yield script('mkdir -p -- "$1"', target)
    if not found.guarded:
        yield script(_GUARD, target)
    yield from new_fstab
    if not found.source:
        yield script('systemctl daemon-reload && mount -- "$1"', target)
    elif stale or new_credentials:
        yield script("systemctl daemon-reload\n" + _REMOUNT, target)
    for name in missing:
        yield script('mountpoint -q -- "$1" && mkdir -p -- "$1/$2"', target, name)


def _stale(found: MountState, entry: Entry) -> str:
    """Return what of the running mount differs from the entry; empty if nothing does."""
    if not found.source:
        return ""
    if found.source != unescape(entry.source):
        return f"source {found.source}"
    if found.credentials_at > found.mounted_at:
        return "credentials are newer"
    have = set(found.options.split(","))
    lacking = [
        option
        for option in entry.options.split(",")
        if option.partition("=")[0] in _VISIBLE and option not in have
    ]
    return ", ".join(lacking)


def fstab_entry(settings: Settings, credentials: str) -> Entry:
    """Return the entry of the share: nobody's start waits for it, Docker's starts behind it.

    Ownership comes from the options, since chown and chmod do nothing on CIFS. ``forceuid``
    keeps a server with Unix extensions from overriding it (mount.cifs(8)).
    ``x-systemd.before`` (systemd.mount(5)) orders the mount ahead of Docker without touching
    Docker's own unit, and Docker still starts when the server is away. ``x-systemd.wanted-by`` is
    not used: with it systemd drops the order behind the network that ``_netdev`` brings.

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
        "_netdev": "",
        "nofail": "",
        "x-systemd.mount-timeout": "30s",
        "x-systemd.before": "docker.service",
    }
    for option in settings.smb_options:
        key, _, value = option.partition("=")
        own[key] = value
    options = ",".join(f"{key}={value}" if value else key for key, value in own.items())
    return Entry(escape(settings.smb_unc), escape(settings.smb_mount), "cifs", options)
