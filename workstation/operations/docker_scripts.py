"""Shell scripts that work with Docker on the host, and why each of them is as it is."""

from __future__ import annotations

_FLUSH = """
flush() {
  for folder in "$(docker info -f '{{.DockerRootDir}}')" /var/lib/containerd; do
    [ ! -d "$folder" ] || sync -f "$folder" || return 1
  done
}
"""

# Plain progress: a line per step, so that a log shows it as well as a screen. Attestations need
# containerd's image store (docs.docker.com/build/metadata/attestations).
#
# A power cut damages what a build had written and not flushed, and BuildKit does not notice. So a
# mark stands while a build is at work, with the boot and the images it makes, until all is on the
# disk. One of another boot means that BuildKit's cache is not to be trusted, and neither are these
# images, unless containers were made of them, as after a build that was merely ended.
BAKE = (
    _FLUSH
    + """
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
flush && rm "$mark" || exit 1
[ "$status" = 0 ] || {
  echo "$what could not be built, see above; what runs was left as it is" >&2
  exit 1
}
"""
)

# Of an image built here, the one in use and the one before are kept, for the way back.
PRUNE = """
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

# Neither is flushed what Docker pulled: after a power cut there are images with empty files, and
# layers without an image, which the next pull would take for whole. So here too a mark says what
# is at work, each line a boot and an image. What an earlier boot left is pulled anew, and what
# Docker has of it already goes with the image that it then belongs to. Not so if containers were
# made of it, as after a pull that was merely ended: they are only made of what was flushed.
PULL = (
    _FLUSH
    + """
mark=$1; shift
boot=$(cat /proc/sys/kernel/random/boot_id)
mkdir -p "${mark%/*}"; touch "$mark"
doubtful=" $(awk -v boot="$boot" '$1 != boot {print $2}' "$mark" | tr '\\n' ' ')"
export doubtful
for image in "$@"; do echo "$boot $image"; done >>"$mark"
sync "$mark" "${mark%/*}"
printf '%s\\n' "$@" | xargs -P 4 -n 1 sh -c '
  pull() { said=$(docker pull "$1") || { echo "$1 cannot be pulled" >&2; exit 255; }; }
  remove() { docker image rm -f "$1" >/dev/null || exit 255; }
  id=$(docker image inspect -f "{{.Id}}" "$1" 2>/dev/null)
  case $doubtful in *" $1 "*)
    if [ -n "$id" ] && [ -z "$(docker ps -aq --filter "ancestor=$id")" ]; then
      echo "the machine went down while $1 was pulled: it is pulled anew"
      remove "$id"; id=
    fi ;;
  esac
  [ -z "$id" ] || exit 0
  pull "$1"
  case $doubtful$said in *" $1 "*"Already exists"*)
    remove "$(docker image inspect -f "{{.Id}}" "$1")"; pull "$1" ;;
  esac
  echo "pulled $1"' sh &
pulling=$!; seconds=0
while kill -0 $pulling 2>/dev/null; do
  sleep 1; seconds=$((seconds + 1))
  [ $((seconds % 5)) != 0 ] || echo "pulling, $seconds s"
done
wait $pulling; status=$?
flush || exit 1
printf '%s\\n' "$@" | awk 'NR == FNR {ours[$1] = 1; next} !($2 in ours)' - "$mark" >"$mark.new"
sync "$mark.new"
mv "$mark.new" "$mark"
[ -s "$mark" ] || rm "$mark"
exit "$status"
"""
)

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
GIVE_UP = """
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
UP = (
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
