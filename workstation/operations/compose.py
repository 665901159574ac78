"""A Compose project: its images built or pulled, its containers brought up and healthy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pyinfra import host, state

from workstation import context, remembered
from workstation.builds import bake_definition, labels, listing
from workstation.errors import HostError
from workstation.facts.compose import APPLIED, BUILDING, Project
from workstation.facts.docker import Networks
from workstation.facts.files import Paths
from workstation.facts.invokeai import Models
from workstation.facts.shell import script
from workstation.operations import files
from workstation.operations.base import Commands, operation
from workstation.operations.plan import live, tell
from workstation.pins import Source
from workstation.plan import Sign
from workstation.project import Action, ProjectState, actions, familiar, newer_secrets, strangers
from workstation.render import RenderedStack
from workstation.stack import Stack

_PATIENCE, _MARGIN = 1800, 300
"""Seconds for all services to become healthy, and for one beyond its start period."""

_SIGNS: dict[str, Sign] = {"create": "+", "build": "+", "pull": "+", "remove": "-"}

# Plain progress: a line per step, so that a log shows it as well as a screen. Attestations need
# containerd's image store (docs.docker.com/build/metadata/attestations).
#
# A power cut damages what a build had written and not flushed, and BuildKit does not notice. So a
# mark stands while a build is at work, with the boot and the images it makes, until all is on the
# disk. One of another boot means that BuildKit's cache is not to be trusted, and neither are these
# images, unless containers were made of them, as after a build that was merely ended.
_BAKE = """
mark=$1 what=$2 images=$3; shift 3
boot=$(cat /proc/sys/kernel/random/boot_id)
mkdir -p "${mark%/*}"
if [ -f "$mark" ] && [ "$(head -n 1 "$mark")" != "$boot" ]; then
  echo "the machine went down during a build: what that made, and BuildKit's cache, are removed"
  sed 1d "$mark" | while read -r image; do
    [ -z "$(docker ps -aq --filter "ancestor=$image")" ] || continue
    [ -z "$(docker image ls -q "$image")" ] || docker image rm -f "$image" || exit 1
  done >/dev/null && docker builder prune -af >/dev/null || exit 1
  rm "$mark"
fi
[ -f "$mark" ] || echo "$boot" >"$mark"
printf '%s\\n' $images >>"$mark"
sync "$mark" "${mark%/*}"
case $(docker info -f '{{.DriverStatus}}') in
  *containerd.snapshotter*) ;;
  *) set -- ;;
esac
docker buildx bake --builder default --progress plain -f - "$@" 2>&1; status=$?
for folder in "$(docker info -f '{{.DockerRootDir}}')" /var/lib/containerd; do
  [ ! -d "$folder" ] || sync -f "$folder" || exit 1
done
rm "$mark"
[ "$status" = 0 ] || {
  echo "$what could not be built, see above; what runs was left as it is" >&2
  exit 1
}
"""

# Of an image built here, the one in use and the one before are kept, for the way back.
_PRUNE = """
before=$1; shift
for image in "$@"; do
  docker image ls --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' "${image%:*}" |
    while read -r id name; do
      [ "$name" = "$image" ] && continue
      case " $before " in *" $id "*) continue ;; esac
      docker image rm "$name" >/dev/null && echo "removed image $name"
    done
done
true
"""

_PULL = """
printf '%s\\n' "$@" | xargs -P 4 -I{} sh -c '
  docker pull --quiet "$1" >/dev/null || { echo "$1 cannot be pulled" >&2; exit 255; }
  echo "pulled $1"' sh {} &
pulling=$!; seconds=0
while kill -0 $pulling 2>/dev/null; do
  sleep 1; seconds=$((seconds + 1))
  [ $((seconds % 5)) != 0 ] || echo "pulling, $seconds s"
done
wait $pulling
"""

# Ready: healthy, or running where there is no health check. Lost: unhealthy, ended, or in a
# restart loop. What is neither is waited for; what takes long shows how far it is by the last line
# of its log. Time is the kernel's, which does not jump when a machine learns what time it is.
_HEALTHY = """
uptime() { read -r now _ </proc/uptime; now=${now%.*}; }
healthy() {
  project=$1 limit=$2; uptime; began=$now pause=4 next=0
  while :; do
    uptime; seconds=$((now - began)) waiting= lost=
    for id in $(docker ps -aq --filter "label=com.docker.compose.project=$project"); do
      set -- $(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}
        {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}
        {{.RestartCount}}' "$id")
      case $2/$3 in
        running/healthy|running/none) ;;
        running/unhealthy|exited/*|dead/*) lost="$lost $1" ;;
        *) if [ "$4" -ge 3 ]; then lost="$lost $1"; else waiting="$waiting $1"; fi ;;
      esac
    done
    [ "$seconds" -lt "$limit" ] || lost="$lost$waiting"
    if [ -n "$lost" ]; then
      for service in $lost; do
        echo "Service $service of $project is not healthy; its last lines:" >&2
        docker ps -aq --filter "label=com.docker.compose.project=$project" \\
          --filter "label=com.docker.compose.service=$service" \\
          | xargs -r docker logs --tail 25 2>&1 | sed 's/^/    /' >&2
        docker ps -aq --filter "label=com.docker.compose.project=$project" \\
          --filter "label=com.docker.compose.service=$service" | xargs -r docker inspect -f \\
          '{{if .State.Health}}{{range .State.Health.Log}}    health: {{.Output}}{{end}}{{end}}' \\
          | tail -n 3 >&2
      done
      return 1
    fi
    [ -n "$waiting" ] || { echo "all of $project are healthy"; return 0; }
    if [ "$seconds" -ge "$next" ]; then
      echo "waiting for$waiting ($seconds s)"
      if [ "$seconds" -ge 20 ]; then
        pause=20
        for service in $waiting; do
          line=$(docker ps -aq --filter "label=com.docker.compose.project=$project" \\
            --filter "label=com.docker.compose.service=$service" \\
            | xargs -r docker logs --tail 1 2>&1 | LC_ALL=C tr -cd '[:print:]')
          echo "    $service: $line" | cut -c 1-110
        done
      fi
      next=$((seconds + pause))
    fi
    sleep 2
  done
}
"""

# Of a container with an old secret, Compose would say that it is as it should be.
_GIVE_UP = """
folder=$1; shift
docker compose --project-directory "$folder" rm --force --stop -- "$@" </dev/null
"""

# Docker keeps the port of a container that a power cut took away while it started, until Docker
# itself is started anew (seen with Engine 26.1; moby/moby#20486).
_BRING_UP = """
said=$(mktemp); trap 'rm -f "$said" "$said.failed"' EXIT
up_once() {
  rm -f "$said.failed"
  {
    docker compose --project-directory "$folder" up -d --remove-orphans --no-build --pull never \\
      2>&1 </dev/null || touch "$said.failed"
  } | tee "$said"
  [ ! -e "$said.failed" ]
}
up() {
  up_once && return
  port=$(sed -n 's/.*Bind for .*:\\([0-9]*\\) failed: port is already allocated.*/\\1/p' "$said" \\
    | head -n 1)
  [ -n "$port" ] || return 1
  [ -z "$(docker ps -q --filter "publish=$port" --filter "publish=$port/udp")" ] || return 1
  left="Docker keeps port $port for a container that is gone, as after a power cut"
  if [ "$(docker info -f '{{.LiveRestoreEnabled}}')" != true ]; then
    echo "$left; a restart of Docker would stop what runs (its live-restore is off):" \\
      "\\`systemctl restart docker\\` when that does no harm, then run again." >&2
    return 1
  fi
  echo "$left: it is started anew; containers run on"
  systemctl restart docker.service && up_once
}
"""

# Standard input is the Compose file. What became healthy is kept at once, to tell the next change
# by and to go back to; secrets are not. What does not become healthy gives way to what is kept,
# whose images are still there: they are pruned only after a success.
_UP = (
    _HEALTHY
    + _BRING_UP
    + """
name=$1 most=$2 folder=$3 kept=$4
mkdir -p "${kept%/*/*}"
umask 077
mkdir -p "${kept%/*}"
cat >"$kept.new"
if up && healthy "$name" "$most"; then
  set -e
  tar -cf "$kept.tar.new" -C "$folder" --exclude=./.env --exclude=./secrets \\
    --exclude='*.before-ai-workstation' .
  sync "$kept.tar.new" "$kept.new"
  mv "$kept.tar.new" "$kept.tar"
  mv "$kept.new" "$kept.yaml"
  exit
fi
rm "$kept.new"
[ -f "$kept.tar" ] || exit 1
! tar -df "$kept.tar" -C "$folder" >/dev/null 2>&1 || exit 1
echo "$name goes back to what ran before" >&2
tar -xf "$kept.tar" -C "$folder"
if up && healthy "$name" "$most"; then
  echo "$name runs as before this run; what failed is told above" >&2
else
  echo "$name does not become healthy with what ran before either" >&2
fi
exit 1
"""
)


@operation
def laid_down(stack: RenderedStack) -> Commands:
    """
    Have the stack's folder on the host: Compose file, build contexts, configuration, secrets, and
    the host folders that its containers mount.

    + stack: the rendered stack
    """
    _ask_ahead()
    yield from files.present._inner(entries=[*_files(stack), *_secrets(stack), *_folders(stack)])


def _files(stack: RenderedStack) -> list[files.Entry]:
    parents = {
        "/".join([stack.folder, *path.split("/")[:depth]])
        for path in stack.files
        for depth in range(1, path.count("/") + 1)
    }
    entries: list[files.Entry] = [
        files.Directory(path) for path in [stack.folder, *sorted(parents)]
    ]
    return entries + [
        files.File(
            f"{stack.folder}/{path}",
            content,
            # Compose reads variables from .env, passwords among them.
            mode="600" if path == ".env" else "755" if content.startswith(b"#!") else "644",
            secret=path == ".env",
            backup=path == "compose.yaml",
        )
        for path, content in stack.files.items()
    ]


def _folders(stack: RenderedStack) -> list[files.Entry]:
    entries: list[files.Entry] = []
    owned = stack.model.owned_folders([stack.folder, *stack.elsewhere])
    for path, owner in owned.items():
        names, _, mode = owner.partition(" ")
        user, _, group = names.partition(":")
        entries.append(files.Directory(path, mode or "755", user, group or user))
    return entries


def _secrets(stack: RenderedStack) -> list[files.Entry]:
    """Return the files of the stack's secrets: the Engine mounts each into its containers, so the
    folder is root's, and the file its reader's. Raises SettingsError for one that is not set."""
    if not stack.model.secrets:
        return []
    entries: list[files.Entry] = [files.Directory(f"{stack.folder}/secrets", mode="700")]
    for secret in stack.model.secrets:
        user, _, group = secret.owner.partition(":")
        content = stack.secret(secret)
        entries.append(files.File(secret.path, content, "400", user, group or user, secret=True))
    return entries


@operation
def up(
    stack: RenderedStack,
    secrets: list[str],
    sources: Mapping[str, Source] | None = None,
    attestations: Sequence[str] = (),
    limit: int = 0,
) -> Commands:
    """
    Build and pull what is missing, bring the project up, wait until every service is healthy.
    Images built here that neither run nor ran before this are removed then. If one does not become
    healthy, the folder and images of the last success are put back, and the run fails.

    + stack: the rendered stack; its folder has been laid down
    + secrets: BuildKit secrets for builds
    + sources: the pins' git sources, for the labels of images
    + attestations: options of ``docker buildx bake``, used where the Engine can store what they ask
    + limit: seconds after which a service that is not healthy is an error; 0: half an hour, or
      longer where a service may take longer to start
    """
    model = stack.model
    limit = limit or max([_PATIENCE, *(one.start_period + _MARGIN for one in model.running)])
    found = project_state(stack)
    if found.error:
        raise HostError(f"Compose refuses {stack.folder}/compose.yaml: {found.error}")
    seen, fix = strangers(model.name, stack.folder, found)
    if seen:
        raise HostError(f"{seen} on {host.name}. To fix it: {fix}.")
    # In a plan the new ones are not written yet.
    found = replace(
        found,
        secrets=found.secrets | dict.fromkeys(files.other_content(_secrets(stack)), math.inf),
    )
    inputs = {service.name: listing(stack.context(service)) for service in model.built}
    planned = actions(model, found, inputs)
    kept = f"{APPLIED}/{model.name}"
    if not planned and found.applied == stack.compose:
        host.noop(f"{len(model.running)} services of {model.name} run as they should")
        return
    if not planned:
        # A run that died between the last healthy service and here, or a change of words alone.
        tell("~", f"{kept}.yaml", "what runs is kept, to go back to")
    for action in planned:
        sign = _SIGNS.get(action.verb, "~")
        tell(sign, f"{model.name}: {action.verb} {action.subject}", action.cause)
    tell_unchanged(model, planned)

    yield from _image_commands(stack, planned, secrets, sources or {}, attestations)
    if stale := _with_old_secrets(model, found):
        yield script(_GIVE_UP, stack.folder, *stale)
    yield live(script(_UP, model.name, limit, stack.folder, kept, stdin=stack.compose))
    before = {name: container.image for name, container in found.by_service().items()}
    if renewed := [
        service.image
        for service in model.built
        if before.get(service.name, "") not in ("", found.image_id(service.image))
    ]:
        yield live(script(_PRUNE, " ".join(before.values()), *renewed))


def project_state(stack: RenderedStack, **how: Any) -> ProjectState:
    """Return the stack's project as it is on the host.

    + how: pyinfra's arguments, such as ``_timeout``
    """
    if not how:
        _ask_ahead()
    found: ProjectState = host.get_fact(Project, **_question(stack), **how)
    return found


def _ask_ahead() -> None:
    """Ask in one command what a plan asks about all stacks that have been rendered for the host.
    Not in a run, which changes what has been answered."""
    if state.is_executing or not context.is_loaded(host):
        return
    questions: list[remembered.Question] = []
    for stack in context.load(host).rendered:
        project = stack.model.name
        questions.append((Project, _question(stack)))
        questions += [
            (Models, {"project": project, "service": one.name, "path": one.registers})
            for one in stack.model.registering
        ]
        # With secrets it is a question of its own, the key of which is not to be seen.
        paths = files.question([*_files(stack), *_folders(stack)])
        if not (stack.model.secrets or paths["key"]):
            questions.append((Paths, paths))
    remembered.ask_together(host, questions)


def _question(stack: RenderedStack) -> dict[str, Any]:
    return {
        "project": stack.model.name,
        "folder": stack.folder,
        "images": sorted({familiar(service.image) for service in stack.model.services}),
        "_stdin": stack.compose,
    }


def _with_old_secrets(model: Stack, found: ProjectState) -> list[str]:
    """Return the services of which a container was given a secret that has changed since."""
    containers = found.by_service()
    return [
        service.name
        for service in model.running
        if service.name in containers
        and newer_secrets(model, service, [containers[service.name]], found)
    ]


def tell_unchanged(model: Stack, planned: Iterable[Action]) -> None:
    """Tell how many services stay as they are."""
    touched = {action.subject for action in planned}
    unchanged = sum(service.name not in touched for service in model.running)
    if unchanged:
        tell("=", f"{unchanged} services of {model.name} stay as they are")


def _image_commands(
    stack: RenderedStack,
    planned: list[Action],
    secrets: list[str],
    sources: Mapping[str, Source],
    attestations: Sequence[str],
) -> Commands:
    built = {service.image: service.name for service in stack.model.built}
    missing = [built[action.subject] for action in planned if action.verb == "build"]
    pulled = [action.subject for action in planned if action.verb == "pull"]
    if pulled:
        yield live(script(_PULL, *pulled))
    if missing:
        images = " ".join(image for image, name in built.items() if name in missing)
        dockerfiles = {service.name: stack.dockerfile(service) for service in stack.model.built}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        said = {
            service.name: labels(service, sources, created, listing(stack.context(service)))
            for service in stack.model.built
        }
        bake = bake_definition(stack.model, dockerfiles, missing, secrets, said)
        yield live(
            script(
                _BAKE, BUILDING, ", ".join(missing), images, *attestations, stdin=json.dumps(bake)
            )
        )


@operation
def network_exists(network: str) -> Commands:
    """
    Raise HostError unless the Docker network is there: it belongs to somebody else.

    + network: its name
    """
    known = host.get_fact(Networks)
    if known and network not in known:
        raise HostError(
            f"Docker on {host.name} has no network {network}, which the existing proxy should "
            f"share with the services: set PROXY_NETWORK to one of {', '.join(known)}, or "
            "create it."
        )
    host.noop(f"network {network} is there" if known else "Docker has no networks yet")
    yield from ()
