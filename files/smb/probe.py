#!/usr/bin/env python3
# SERVER SHARE USER DOMAIN SECONDS PATIENCE OPTIONS [NAME FOLDER...]: logs in to a share as its
# mount would, and reads a small file in each of these folders.
#
# It logs in with mount(2) in a separate mount namespace, which is gone when the script ends: so the
# kernel's own client decides, and nothing on the host is changed or installed. The options are
# those that mount.cifs would pass (workstation/mounts/cifs.py), which the host may not have yet.
# nosharesock: otherwise a session that is already open would vouch for the password. The password
# comes on standard input, because a process list shows arguments. In the kernel's option string a
# comma is doubled (fs/smb/client/fs_context.c). The login runs in a process of its own: a mount
# that hangs ignores signals.

import ctypes
import errno
import grp
import os
import pwd
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from typing import NoReturn

server, share, user, domain, seconds, patience, wanted = sys.argv[1:8]
password = sys.stdin.readline().rstrip("\n")
options = [one for one in wanted.split(",") if one and one not in ("hard", "nosoft")]
given = dict(one.partition("=")[::2] for one in options)
CLUES = ("cifs", "CIFS", "security option", "vers=")
DULL = ("Attempting to mount", "implicitly", "cifs_mount failed", "not recommended", "hard vs")


def say(*words: object) -> NoReturn:
    print(*words, flush=True)
    sys.exit()


def numbered(option: str) -> str:
    key, _, value = option.partition("=")
    try:
        if key in ("uid", "cruid", "backupuid") and not value.isdigit():
            return f"{key}={pwd.getpwnam(value).pw_uid}"
        if key in ("gid", "backupgid") and not value.isdigit():
            return f"{key}={grp.getgrnam(value).gr_gid}"
    except KeyError:
        say("options", f"{option}, the host has no such name")
    return option


def address() -> str:
    port = int(given.get("port") or 445)
    problem: object = "no address"
    try:
        found = socket.getaddrinfo(given.get("ip") or server, port, type=socket.SOCK_STREAM)
    except OSError as error:
        say("unreachable", error.strerror or error)
    for family, kind, _, _, place in found:
        try:
            if "rdma" not in given:
                with socket.socket(family, kind) as connection:
                    connection.settimeout(float(seconds))
                    connection.connect(place)
            scope = f"%{place[3]}" if len(place) > 3 and place[3] else ""
            return str(place[0]).partition("%")[0] + scope
        except OSError as error:
            problem = error.strerror or error
    say("unreachable", problem)


def log() -> int | None:
    try:
        opened = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(opened, 0, os.SEEK_END)
        return opened
    except OSError:
        return None


def said(opened: int | None) -> tuple[list[str], list[str]]:
    lines = []
    try:
        while opened is not None:
            lines.append(os.read(opened, 8192).decode(errors="replace").split("\n")[0])
    except OSError:
        pass
    lines = [line.partition(";")[2].strip().replace("\\x5c", "\\") for line in lines]
    found = [re.search(r"STATUS_\w+", line) for line in lines]
    states = [state[0] for state in found if state]
    words = [one for one in lines if any(clue in one for clue in CLUES)]
    words = [one for one in words if not any(dull in one for dull in DULL)]
    prefix = r"^(CIFS: |VFS: |cifs: |\\\\\S+ )+"
    return states[-1:], [re.sub(prefix, "", word) for word in words[-1:]]


def login() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None):
        why = os.strerror(ctypes.get_errno())
        say("unknown", f"a mount namespace cannot be created: {why}")
    subprocess.run("modprobe -q cifs", shell=True, check=False)
    chosen = [f"ip={place}", f"unc=\\\\{server}\\{share}", *map(numbered, options)]
    security = given.get("sec", "")
    if security != "none":
        chosen.append(f"user={user}")
    if not security.startswith(("krb5", "none")):
        chosen.append("pass=" + password.replace(",", ",,"))
    chosen += [f"domain={domain}"] if domain else []
    chosen += ["nosharesock", "soft"]
    source, opened = f"//{server}/{share}".encode(), log()
    spot = tempfile.mkdtemp(dir=os.environ.get("answers"))  # noqa: SIM112  # of question.sh
    if not libc.mount(source, spot.encode(), b"cifs", 1, ",".join(chosen).encode()):
        print("accepted")
        name, *folders = sys.argv[8:] or [""]
        for folder in folders:
            try:
                with open(f"{spot}/{folder}/{name}") as file:
                    print("file", folder, file.read())
            except OSError as error:
                print("file", folder, error.strerror)
        sys.exit()
    number = ctypes.get_errno()
    states, words = said(opened)
    told = " ".join((states or words or [os.strerror(number)])[0].split()).rstrip(".:,")
    told = told.replace(": ", ", ")
    if number == errno.ENOENT and not states:
        say("refused", "that it has no share with that name")
    if number == errno.ENODEV or ("iocharset" in told and "not found" in told):
        say("absent", told)
    if number == errno.ENOKEY and not os.path.exists("/usr/sbin/cifs.upcall"):
        say("unknown", "Kerberos cannot be tried before cifs-utils is installed")
    if states:
        say("refused", told)
    closed = (errno.EHOSTDOWN, errno.ECONNRESET, errno.ECONNABORTED)
    verdicts = {errno.EINVAL: "options", errno.EOPNOTSUPP: "version", errno.ENOKEY: "ticket"}
    say(verdicts.get(number, "version" if number in closed else "refused"), told)


place = address()
sys.stdout.flush()
answer, its = os.pipe()
if not os.fork():
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, instead in ((0, nothing), (1, its), (2, nothing)):
        os.dup2(instead, number)
    os.close(answer)
    login()
os.close(its)
end, heard = time.monotonic() + float(patience), b""
while select.select([answer], [], [], max(0, end - time.monotonic()))[0]:
    more = os.read(answer, 65536)
    if not more:
        break
    heard += more
else:
    heard = f"silent {patience} s".encode()
sys.stdout.buffer.write(heard or b"unknown the login was cut off\n")
sys.stdout.flush()
os._exit(0)
