#!/bin/sh
# healthy PROJECT SECONDS: waits until all containers of the project in $folder are ready, or names
# those that are not.
#
# A container that a person started with `docker compose --profile` does not count: its service is
# not among those that Compose lists without a profile. If Compose lists none, all count.
#
# Ready: healthy, or running if there is no health check. Lost: unhealthy, ended, or in a restart
# loop. Others are waited for; after a while the last line of their log is shown as progress. Time
# is the kernel's, which does not jump when a machine sets its clock.

uptime() { read -r now _ </proc/uptime; now=${now%.*}; }
healthy() {
  project=$1 limit=$2; uptime; began=$now pause=4 next=0
  # shellcheck disable=SC2154 # $folder is of up.sh
  ours=$(timeout -k 5 60 docker compose --project-directory "$folder" config --services \
    2>/dev/null </dev/null | xargs)
  while :; do
    uptime; seconds=$((now - began)) waiting='' lost=
    ids=$(docker ps -aq --filter "label=com.docker.compose.project=$project") || waiting=" docker"
    for id in $ids; do
      # shellcheck disable=SC2046 # a list, one word each
      set -- $(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}
        {{.State.Status}} {{with index .State "Health"}}{{.Status}}{{else}}none{{end}}
        {{.RestartCount}}' "$id")
      case " $ours " in '  '|*" $1 "*) ;; *) continue ;; esac
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
        docker ps -aq --filter "label=com.docker.compose.project=$project" \
          --filter "label=com.docker.compose.service=$service" \
          | xargs -r docker logs --tail 25 2>&1 | sed 's/^/    /' >&2
        docker ps -aq --filter "label=com.docker.compose.project=$project" \
          --filter "label=com.docker.compose.service=$service" | xargs -r docker inspect -f \
          '{{with index .State "Health"}}{{range .Log}}    health: {{.Output}}{{end}}{{end}}' \
          | tail -n 3 >&2
      done
      return 1
    fi
    [ -n "$waiting" ] || { echo "all services of $project are healthy"; return 0; }
    if [ "$seconds" -ge "$next" ]; then
      echo "waiting for$waiting ($seconds s)"
      if [ "$seconds" -ge 20 ]; then
        pause=20
        for service in $waiting; do
          line=$(docker ps -aq --filter "label=com.docker.compose.project=$project" \
            --filter "label=com.docker.compose.service=$service" \
            | xargs -r docker logs --tail 1 2>&1 | LC_ALL=C tr -cd '[:print:]')
          echo "    $service: $line" | cut -c 1-110
        done
      fi
      next=$((seconds + pause))
    fi
    sleep 2
  done
}
