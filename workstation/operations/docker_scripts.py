"""Shell scripts that work with Docker on the host, and why each of them is as it is."""

from __future__ import annotations

from workstation.facts.daemon import PROCESS

_FLUSH = """
flush() {
  root=$(docker info -f '{{.DockerRootDir}}') || return 1
  for folder in "$root" /var/lib/containerd; do
    [ ! -d "$folder" ] || sync -f "$folder" || return 1
  done
}
"""

# A pull or a build that a power cut ended leaves a lease in containerd's image store. It holds what
# was unpacked for hours (seen with Engine 28.5: containerd.io/gc.expire), and the next one would
# take that for whole.
_RELEASE = """
with_containerd() {
  case $(docker info -f '{{.DriverStatus}}') in *containerd.snapshotter*) ;; *) return 1 ;; esac
}
release() {
  up_since=$(awk '$1 == "btime" {print $2}' /proc/stat)
  for socket in /run/containerd/containerd.sock /run/docker/containerd/containerd.sock; do
    [ -S "$socket" ] || continue
    leases=$(ctr --address "$socket" -n moby leases ls) || {
      echo "$socket does not say what holds images: nothing of it is released"; continue; }
    printf '%s\n' "$leases" | awk '/gc.expire=/ {print $1, $2}' |
      while read -r lease created; do
        [ "$(date -d "$created" +%s)" -ge "$up_since" ] ||
          ctr --address "$socket" -n moby leases rm --sync "$lease" >/dev/null
      done
  done
}
"""

# Plain progress: a line per step, so that a log shows it as well as a screen. Attestations need
# containerd's image store (docs.docker.com/build/metadata/attestations). Since 0.19 Buildx refuses
# to read what does not lie below the working folder (docker/buildx#2796): here all of it does.
#
# A power cut damages what a build had written and not flushed, and BuildKit does not notice. So a
# mark stands while a build is at work, with the boot, the time and the images it makes, until all
# is on the disk. One of another boot means that what BuildKit has cached since is not to be
# trusted, and neither are these images, unless containers were made of them, as after a build that
# was merely ended. Nor are those of ours that have lost their name. What others have cached before
# stays. A record can go only after those that were made from it.
BAKE = (
    _FLUSH
    + _RELEASE
    + """
mark=$1 what=$2 images=$3; shift 3
boot=$(cat /proc/sys/kernel/random/boot_id)
mkdir -p "${mark%/*}"
cached_since() {
  cache=$(curl -fsS --noproxy '*' --unix-socket /var/run/docker.sock \
    'http://docker/v1.44/system/df?type=build-cache') || return 1
  printf '%s\n' "$cache" | sed 's/{"ID":/\\n&/g' |
    sed -En 's/^.*"ID":"([^"]*)".*"CreatedAt":"([^"]*)".*"LastUsedAt":"?([^",]*).*/\\1 \\2 \\3/p' |
    awk -v since="$1" '$2 >= since || ($3 != "null" && $3 >= since) {print $1}'
}
forget_cache() {
  [ -n "$1" ] || { docker buildx prune --builder default -af >/dev/null; return; }
  before=
  while left=$(cached_since "$1") || return 1; [ -n "$left" ] && [ "$left" != "$before" ]; do
    before=$left
    for record in $left; do
      docker buildx prune --builder default -af --filter "id=$record" >/dev/null || return 1
    done
  done
}
old=$boot began=
[ ! -f "$mark" ] || read -r old began <"$mark"
if [ "$old" != "$boot" ]; then
  echo "the machine went down during a build: what was made and cached${began:+ since $began} goes"
  ! with_containerd || release
  nameless="--no-trunc --filter dangling=true --filter label=workstation.inputs"
  for image in $(sed 1d "$mark") $(docker image ls -aq $nameless); do
    docker image inspect "$image" >/dev/null 2>&1 || continue
    [ -z "$(docker ps -aq --filter "ancestor=$image")" ] || continue
    docker image rm -f "$image" >/dev/null || exit 1
  done
  forget_cache "$began" || {
    echo "what builds have cached cannot be removed, see above, and the power cut may have" \
      "damaged it: run again, or \\`docker buildx prune -af && rm $mark\\` if it stays so" >&2
    exit 1
  }
  rm "$mark"
fi
[ -f "$mark" ] || echo "$boot $(date -u +%FT%T)" >"$mark"
printf '%s\\n' $images >>"$mark"
sync "$mark" "${mark%/*}"
with_containerd || set --
cd /
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

# Neither is flushed what Docker pulled: a power cut leaves images with empty files, images without
# their name, and layers without an image, and the next pull would take all of it for whole. So here
# too a mark says what is at work, each line a boot and an image. What another boot left there is
# pulled anew; a pull that found something of it already there only gave it a name again, by which
# it is removed and pulled once more. What containers are made of is whole: they are only made of
# what was flushed, so that pull was merely ended. With containerd's image store, what a pull holds
# is released first and goes with the images: then nothing of it is there to be found.
PULL = (
    _FLUSH
    + _RELEASE
    + """
mark=$1; shift
boot=$(cat /proc/sys/kernel/random/boot_id)
mkdir -p "${mark%/*}"; touch "$mark"
reused=$(mktemp); trap 'rm -f "$reused"' EXIT
export reused
id() { docker image inspect -f '{{.Id}}' "$1" 2>/dev/null; }
left() { awk '$1 != boot && $2 == image {n++} END {exit !n}' boot="$boot" image="$1" "$mark"; }
pull() {
  printf '%s\\n' "$@" | xargs -P 4 -n 1 sh -c '
    said=$(docker pull "$1") || { echo "$1 cannot be pulled" >&2; exit 255; }
    echo "pulled $1"
    case $said in *"Already exists"*) ;; *"Pull complete"*) exit ;; esac
    echo "$1" >>"$reused"' sh &
  pulling=$!; seconds=0
  while kill -0 $pulling 2>/dev/null; do
    sleep 1; seconds=$((seconds + 1))
    [ $((seconds % 5)) != 0 ] || echo "pulling, $seconds s"
  done
  wait $pulling
}
missing= doubtful= found=
! awk -v boot="$boot" '$1 != boot {n++} END {exit !n}' "$mark" || ! with_containerd || release
for image in "$@"; do
  found=$(id "$image")
  if left "$image" && { [ -z "$found" ] || [ -z "$(docker ps -aq --filter "ancestor=$found")" ]; }
  then
    doubtful="$doubtful $image"
    [ -z "$found" ] || docker image rm -f "$found" >/dev/null || exit 1
    found=
  fi
  [ -n "$found" ] || missing="$missing $image"
done
for image in "$@"; do echo "$boot $image"; done >>"$mark"
sync "$mark" "${mark%/*}"
[ -z "$doubtful" ] || echo "the machine went down during a pull; pulled anew:$doubtful"
status=0
[ -z "$missing" ] || pull $missing || status=$?
if [ "$status" = 0 ] && [ -n "$doubtful" ] && [ -s "$reused" ] && ! with_containerd; then
  echo "some of it was there already, and may be damaged: once more"
  for image in $doubtful; do docker image rm -f "$(id "$image")" >/dev/null || exit 1; done
  pull $doubtful || status=$?
fi
flush || exit 1
printf '%s\\n' "$@" \\
  | awk 'NR == FNR {ours[$1]; next} $1 != boot && !($2 in ours)' boot="$boot" - "$mark" \
  >"$mark.new" || exit 1
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
    ids=$(docker ps -aq --filter "label=com.docker.compose.project=$project") || waiting=" docker"
    for id in $ids; do
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

# Until Docker itself is started anew it keeps the port of a container that a power cut took away
# while it started (seen with Engine 26.1; moby/moby#20486), and is without an address that it lost
# (see workstation/daemon.py).
_BRING_UP = (
    """
answered() { timeout -k 5 60 "$@"; }
# Says why containers would not run on, or fails where they would.
restart_harm() {
"""
    + PROCESS
    + """
  live=$(docker info -f '{{.LiveRestoreEnabled}}')
  [ "$live" = true ] || { echo "live-restore is off"; return; }
  case $(systemctl show -P KillMode docker.service) in
    process|none) ;;
    *) echo "its unit's KillMode ends them with it"; return ;;
  esac
  begun=$(systemctl show --timestamp=unix -P ExecMainStartTimestamp docker.service)
  changed=$(stat -c %Y -- "$configuration" 2>/dev/null)
  if [ "$(systemctl show -P NeedDaemonReload docker.service)" = yes ] \\
    || [ "${changed:-0}" -gt "${begun#@}" ]; then
    echo "its configuration has been changed since it started"; return
  fi
  return 1
}
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
  if [ -n "$port" ]; then
    [ -z "$(docker ps -q --filter "publish=$port" --filter "publish=$port/udp")" ] || return 1
    left="Docker keeps port $port for a container that is gone, as after a power cut"
  elif grep -q 'could not parse extra host IP' "$said"; then
    left="Docker has lost the address of host-gateway, as its version 28 does with each reload"
  else
    return 1
  fi
  if harm=$(restart_harm); then
    echo "$left; a restart of Docker might stop what runs: $harm." \\
      "\\`systemctl restart docker\\` when that does no harm, then run again." >&2
    return 1
  fi
  echo "$left: it is started anew; containers run on"
  systemctl restart docker.service && up_once
}
"""
)

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
