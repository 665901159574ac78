"""The end state of tasks/ (docker to stacks) with pyinfra's own operations, for ./provision bench.

Its data comes from lab/bench/wanted.py: the same paths, owners, modes and bytes.
"""

import json
import os
from pathlib import Path
from typing import Any

from pyinfra import config, host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd
from pyinfra.operations.util import any_changed

config.SUDO = host.data.ssh_user != "root"

wanted: dict[str, Any] = json.loads(Path(os.environ["BENCH_WANTED"]).read_text())["wanted"]

for group in wanted["groups"]:
    server.group(
        name=f"Group {group['name']}",
        group=group["name"],
        gid=group.get("gid"),
        system=group.get("system", False),
    )

for user in wanted["users"]:
    server.user(
        name=f"User {user['name']}",
        user=user["name"],
        uid=user.get("uid"),
        group=user["group"],
        groups=user.get("groups"),
        append=True,
        home=user["home"],
        shell="/usr/sbin/nologin",
        system=user.get("system", False),
        ensure_home=user.get("system", False),
    )

for folder in wanted["directories"]:
    files.directory(
        name=f"Folder {folder['path']}",
        path=folder["path"],
        mode=folder["mode"],
        user=folder["owner"],
        group=folder["group"],
    )

changed = {
    file["path"]: files.put(
        name=f"File {file['path']}",
        src=file["content"],
        dest=file["path"],
        mode=file["mode"],
        user=file["owner"],
        group=file["group"],
    )
    for file in wanted["files"]
}

for path in wanted["absent"]:
    files.file(name=f"No {path}", path=path, present=False)

apt.packages(
    name="Packages",
    packages=wanted["packages"] + wanted["held"],
    no_recommends=True,
    allow_downgrades=True,
)

held = host.get_fact(Command, command="apt-mark showhold").split()
if unheld := {package.partition("=")[0] for package in wanted["held"]} - set(held):
    server.shell(name="Packages that stay", commands=[f"apt-mark hold {' '.join(sorted(unheld))}"])

for link in wanted["links"]:
    files.link(name=f"Link {link['path']}", path=link["path"], target=link["target"])

for mount in wanted["mounts"]:
    files.line(
        name=f"{mount['path']} in fstab",
        path="/etc/fstab",
        line=rf"^\S+\s+{mount['path']}\s.*$",
        replace=mount["line"],
    )
    server.mount(name=f"{mount['path']} mounted", path=mount["path"])
    for path in mount["folders"]:
        files.directory(name=f"Folder {path}", path=path)

for shared in wanted["shared"]:
    files.directory(
        name="Group of the model store", path=shared["path"], group=shared["group"], recursive=True
    )

configured = any_changed(*(put for path, put in changed.items() if path.startswith("/etc/")))
systemd.daemon_reload(name="Units read again", _if=configured)
for unit in wanted["units"]:
    systemd.service(name=f"Unit {unit} again", service=unit, restarted=True, _if=configured)
    systemd.service(name=f"Unit {unit}", service=unit, running=True, enabled=True)

for project in wanted["projects"]:
    folder = project["folder"]
    found = host.get_fact(
        Command, command=f"cd {folder} && docker compose ps --services --status running"
    )
    lacking = set(project["services"]) - set(found.split())
    server.shell(
        name=f"Project {project['name']}",
        commands=[f"cd {folder} && docker compose up --detach --remove-orphans"],
        _if=(lambda: True) if lacking else changed[f"{folder}/compose.yaml"].did_change,
    )
