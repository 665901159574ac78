#!/bin/sh
# BINARY RELEASES: whether the running program is the release that the binary's link leads to.
#
# For a script the kernel reports its interpreter, whose first argument is the script. All processes
# of the group are checked, because the started one may be a shell that starts Ollama.

binary=$(readlink -f "$1")
case $binary in
  "$2"/*) ;;
  *) echo "$1 leads to ${binary:-nothing}, not to a release"; exit 1 ;;
esac
group=$(systemctl show -P ControlGroup ollama.service)
pids=$(cat "/sys/fs/cgroup$group/cgroup.procs" 2>/dev/null) && [ -n "$group" ] \
  || pids=$(systemctl show -P MainPID ollama.service)
found=
for pid in $pids; do
  program=$(readlink "/proc/$pid/exe") || continue
  first=$(tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n 2p)
  case $binary in "$program" | "$(readlink -f "$first")")
    echo "process $pid of $(stat -c %U "/proc/$pid") is $binary"; exit ;;
  esac
  found="$found $program"
done
echo "it runs${found:- nothing}, not $binary"
systemctl show -p DropInPaths,FragmentPath ollama.service
exit 1
