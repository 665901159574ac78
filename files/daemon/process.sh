#!/bin/sh
# $pid: the Engine's process, and $inside: the unit that it runs in; both empty if none runs.
# $arguments: its command line, base64. $configuration: the file that it reads. An Engine inside a
# container, or a user's own (rootless), does not count.

# shellcheck disable=SC2034 # for those who include this, which have `answered` too

pid='' inside='' arguments='' rootless=''
# shellcheck disable=SC2013 # paths without blanks
for file in $(grep -lxs dockerd /proc/[0-9]*/comm); do
  process=${file%/comm}
  [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
  group=$(sed -n 's/^[0-9]*:\(name=systemd\)*://p' "$process/cgroup" 2>/dev/null)
  case $group in */docker-*.scope*|*/docker/*|*kubepods*|*/lxc*) continue ;; esac
  if [ "$(awk '/^Uid:/ {print $2}' "$process/status" 2>/dev/null)" != 0 ]; then
    rootless=$(answered stat -c %U "$process" 2>/dev/null); continue
  fi
  unit=$(printf '%s\n' "$group" | grep -oE '[^/]+\.(service|scope)' | head -n 1)
  if [ -z "$pid" ] || [ "$unit" = docker.service ]; then
    pid=${process#/proc/} inside=$unit
  fi
done
[ -z "$pid" ] || arguments=$(base64 -w0 "/proc/$pid/cmdline" 2>/dev/null)
started=$(answered systemctl show -P ExecStart docker.service 2>/dev/null \
  | sed -n 's/.*argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tail -n 1)
reload=$(answered systemctl show -P NeedDaemonReload docker.service 2>/dev/null)
if [ "$reload" = yes ]; then
  # systemd has not read the files on disk yet, but will before the next start.
  disk=$(systemd-analyze cat-config systemd/system/docker.service 2>/dev/null \
    | sed -e ':a' -e '/\\$/{N;s/\\\n/ /;ba' -e '}' | sed -n 's/^ExecStart=[-@:+!]*//p' | tail -n 1)
  started=${disk:-$started}
fi
words=$started
if [ "$inside" = docker.service ] || [ -z "$started" ]; then
  words=$(printf %s "$arguments" | base64 -d | tr '\0' ' ')
fi
configuration=$(printf '%s\n' "$words" \
  | sed -n 's/.* --config-file[= ]\([^ ]*\).*/\1/p')
configuration=${configuration:-/etc/docker/daemon.json}
