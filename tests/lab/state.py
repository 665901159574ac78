"""The state that runs leave on a machine, as a mapping that can be compared with that of another
run."""

from __future__ import annotations

from tests.lab.conftest import Workstation

# Folders to which our runs copy files or where they change something, and those of packages they
# install.
PLACES = (
    "/opt/stacks",
    "/opt/ollama",
    "/usr/local/bin",
    "/usr/local/lib",
    "/etc/ai-workstation",
    "/etc/apt/sources.list.d",
    "/etc/cdi",
    "/etc/docker",
    "/etc/fstab",
    "/etc/group",
    "/etc/systemd/system",
    "/mnt",
    "/usr/share/keyrings",
    "/var/lib/ai-workstation",
    "/vol",
)

# Differences between two machines that are both right. Nothing else is ignored.
VOLATILE = {
    "/var/lib/ai-workstation/runs": "receipts: one for each run",
    "/var/lib/ai-workstation/applied/*.tar": "holds the times of files",
    "/etc/docker/key.json": "the Engine's identity",
    "/etc/group-": "how /etc/group was before its last change",
    "unit ollama-docker.service is active": "its socket starts it for the first who asks",
}

_FILES = """
find {places} -xdev \\( {volatile} \\) -prune -o -printf '%y %m %U:%G\\t%p\\t%l\\n' 2>/dev/null
echo --
find {places} -xdev \\( {volatile} \\) -prune -o -type f -print0 2>/dev/null | xargs -0r sha256sum
"""

_REST = """
systemctl list-unit-files --state=enabled --plain --no-legend | awk '{print "unit " $1 " enabled"}'
systemctl list-units --state=active,failed --plain --no-legend 'ollama*' 'ai-workstation*' \
  docker.service 'mnt-*' 'nvidia*' | awk '{print "unit " $1 " is " $3}'
dpkg-query -W -f 'package ${Package} ${Version} ${db:Status-Abbrev}\\n'
apt-mark showhold | sed 's/.*/package & held/'
findmnt -n -l -t cifs -o TARGET,SOURCE,OPTIONS | sed 's/^/mount /'
docker network ls --format 'network {{.Name}} {{.Driver}}'
docker volume ls --format 'volume {{.Name}}'
docker ps -aq | xargs -r docker inspect -f 'container {{.Name}} {{.Config.Image}} {{.Image}}
  {{index .Config.Labels "com.docker.compose.config-hash"}} {{.State.Status}}
  {{with index .State "Health"}}{{.Status}}{{end}}' | paste -sd' ' | sed 's/container /\\n&/g'
dpkg --audit
"""


def state(machine: Workstation) -> dict[str, str]:
    """Return the state of the machine: files with mode, owner and content; units; packages; mounts;
    networks, volumes and containers. The ids of images built on the machine are left out, because
    they depend on the build time; their tags are hashes of all their inputs.

    An image's id says when it was built, so that of one that is built here is left out: its tag is
    the hash of all that went into it.
    """
    found = files(machine)
    for line in machine.run(_REST).splitlines():
        kind, _, rest = line.strip().partition(" ")
        name, _, what = rest.partition(" ")
        if line.strip() in VOLATILE:
            continue
        if kind == "container" and what.startswith(("dhoch3/", "proxy/")):
            image, _, *others = what.split()
            what = " ".join([image, *others])
        if kind:
            found[f"{kind} {name}"] = f"{found.get(f'{kind} {name}', '')} {what}".strip()
    return found


def files(machine: Workstation) -> dict[str, str]:
    """Return path -> kind, mode, owner, and target or hash of the content."""
    volatile = " -o ".join(f"-path '{path}'" for path in VOLATILE if path.startswith("/"))
    listing = machine.run(_FILES.format(places=" ".join(PLACES), volatile=volatile))
    entries, _, sums = listing.partition("--\n")
    found = {}
    for line in entries.splitlines():
        what, path, target = line.split("\t")
        found[path] = f"{what} {target}".strip()
    for line in sums.splitlines():
        digest, _, path = line.partition("  ")
        found[path] += f" {digest[:16]}"
    return found


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return the differences between a machine and the expected state, one line each."""
    return [
        f"{name}: {wanted.get(name, 'nothing')} -> {found.get(name, 'nothing')}"
        for name in sorted(wanted | found)
        if wanted.get(name) != found.get(name)
    ]
