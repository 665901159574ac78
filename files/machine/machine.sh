#!/usr/bin/env bash
# A process that waits for a lock has "->" in the second column of /proc/locks (proc_locks(5)). In
# dpkg-query's abbreviation the second letter is the state, the third an error (dpkg-query(1)); a
# file named by a number is a step that dpkg has not finished.

. files/shell/limited.sh
. files/shell/sockets.sh

sed 's/^/os /' /etc/os-release
echo "uname $(uname -m) $(uname -r)"
echo "user $(id -u)"
awk '/^MemTotal:/ {print "memory", $2}' /proc/meminfo
[ ! -e /snap/bin/docker ] || echo snap-docker
[ ! -d /run/systemd/system ] || echo systemd
if command -v ufw >/dev/null \
  && answered ufw status 2>/dev/null | grep -q '^Status: active'; then
  echo ufw-active
fi

tell_sockets "$(answered ss -Hltnp 2>/dev/null)"

for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock; do
  inode=$(stat -c %i "$file" 2>/dev/null) || continue
  awk -v inode="$inode" '$2 != "->" && $6 ~ ":" inode "$" {print $5}' /proc/locks
done | sort -u | while read -r pid; do
  echo "busy $(cat "/proc/$pid/comm" 2>/dev/null) ($pid)"
done
for unit in apt-daily.service apt-daily-upgrade.service; do
  [ "$(answered systemctl is-active "$unit" 2>/dev/null)" != activating ] \
    || echo "busy $unit"
done
# shellcheck disable=SC2016 # fields of dpkg-query
answered dpkg-query -W -f '${db:Status-Abbrev}|${binary:Package}\n' 2>/dev/null \
  | sed -n 's/^.[FHU].|/broken /p; s/^..R|/broken /p'
set -- /var/lib/dpkg/updates/[0-9]*
[ ! -e "$1" ] || echo "broken ${1%/*}"
! command -v needrestart >/dev/null || echo needrestart
