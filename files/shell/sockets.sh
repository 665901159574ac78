#!/bin/sh
# tell_sockets SOCKETS: prints each line of ss's output, and the control group of each process in
# it.

tell_sockets() {
  printf '%s\n' "$1" | sed -n '/./s/^/listen /p'
  for pid in $(printf '%s\n' "$1" | grep -o 'pid=[0-9]*' | cut -c5- | sort -u); do
    group=$(sed -n 's/^[0-9]*:\(name=systemd\)*://p' "/proc/$pid/cgroup" 2>/dev/null)
    echo "group $pid $(printf '%s\n' "$group" | head -n 1)"
  done
}
