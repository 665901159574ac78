#!/bin/sh
# STEP FILE NOTES BEFORE LIVE FORGETS RELOADED ID...: reload, restart or start; the configuration;
# notes and copies of remember.sh; yes if containers keep running through it; yes if the old file
# does not have that setting; keys that a reload loads, as a pattern; containers to start again.
#
# Once begun it is completed, even if the connection is lost: between a new file and a restart
# nothing else would restore the old one. Docker starts containers by their policy before it
# answers; `docker start` is for the others, twice, since one may share another's network.

. files/shell/wait.sh

trap '' HUP PIPE
step=$1 file=$2 notes=$3 before=$4 live=$5 forgets=$6 reloaded=$7; shift 7
# shellcheck disable=SC2329 # wait_until calls it
answers_or_ended() {
  ended=
  timeout 60 docker version -f '{{.Server.Version}}' >/dev/null 2>&1 && return
  systemctl -q is-active docker.service && return 1
  ended=yes
}
answers() {
  # An Engine that was not running before may be configured to listen elsewhere.
  wait_until 30 2 answers_or_ended || { [ "$step" = start ]; return; }
  [ -z "$ended" ]
}
# A start limit counts restarts of others too, as of packages that were just installed.
begin() {
  systemctl reset-failed docker.service 2>/dev/null
  timeout 600 systemctl restart docker.service 2>/dev/null && answers
}
put() {
  (umask 077; cat "$1" >"$file.old") && chmod --reference="$file" "$file.old" \
    && chown --reference="$file" "$file.old" && sync "$file.old" && mv -f "$file.old" "$file"
}
put_back() { if [ -f "$before" ]; then put "$before"; else rm -f "$file"; fi; }
# shellcheck disable=SC2329 # wait_until calls it
loaded() { [ "$(timeout 60 docker info -f '{{.LiveRestoreEnabled}}' 2>/dev/null)" = true ]; }
reload() {
  if [ "$(systemctl show -P CanReload docker.service)" = yes ]; then
    systemctl reload docker.service
  else
    kill -s HUP "$(systemctl show -P MainPID docker.service)"
  fi || return 1
  [ "$live" != yes ] || wait_until 30 1 loaded
}
if [ "$step" = reload ] || [ "$live" = yes ]; then
  reload || {
    echo "Docker did not accept $file on a reload (live-restore), and was not restarted: check" \
      "\`journalctl -u docker\`, then run again." >&2; exit 1; }
fi
if [ "$step" = reload ]; then
  # Keys that wait for a restart stay on record.
  rest=$(grep -vxE "$reloaded" "$notes" 2>/dev/null)
  case $rest in
    *"
"*) printf '%s\n' "$rest" >"$notes.new" && mv "$notes.new" "$notes" ;;
    *) rm -f "$notes" "$before" "$before.live" ;;
  esac
  exit
fi
began=$(date +%s)
if begin; then
  rm -f "$notes" "$before" "$before.live"
  failed=
  for _ in 1 2; do
    failed=
    for id in "$@"; do docker start "$id" >/dev/null 2>&1 || failed="$failed $id"; done
    [ -n "$failed" ] || break
  done
  for id in $failed; do docker start "$id"; done
  [ -z "$failed" ] || { echo "Not restarted after Docker's restart: see above." >&2; exit 1; }
  exit 0
fi
# The Engine's final message is plain text; log lines begin with a prefix.
said=$(journalctl --since "@$began" -o cat --no-pager _SYSTEMD_UNIT=docker.service 2>/dev/null \
  | grep -vE '^(time=|docker.service: |[[:space:]]*$)' | tail -n 1 | cut -c 1-300)
said=${said:-see \`journalctl -u docker\`}
[ -e "$notes" ] || { echo "Docker does not start: $said" >&2; exit 1; }
if [ "$live" = yes ] && [ -s "$before.live" ]; then put "$before.live"; else put_back; fi
if begin; then
  live=
  put_back && { [ -n "$forgets" ] || reload; }
  for id in "$@"; do docker start "$id" >/dev/null 2>&1; done
  rm -f "$notes" "$before" "$before.live"
  echo "Docker did not start with the new $file ($said): the old one is back, and Docker runs" \
    "with it." >&2
else
  put_back
  echo "Docker did not start with the new $file ($said), nor with the old one, which is back:" \
    "check \`systemctl status docker\`." >&2
fi
exit 1
