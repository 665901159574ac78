#!/usr/bin/env bash
# TARGET CREDENTIALS STOPPED BENEATH: the mountpoint; the credentials file; the record of stopped
# containers; beneath.sh.

. files/shell/limited.sh

target=$1 credentials=$2 stopped=$3 beneath=$4 above=${1%/*}
silent() { echo "$1 does not answer" >&2; exit 1; }
echo "target $target"
real=$(limited 20 realpath -m -- "${above:-/}") || silent "$above"
[ "${real%/}" = "$above" ] || echo "real ${real%/}/${target##*/}"
mounted() { AT=$1 awk '$5 == ENVIRON["AT"] {found = 1} END {exit !found}' /proc/self/mountinfo; }
if [ -f /etc/fstab ]; then
  echo "fstab $(base64 -w0 /etc/fstab)"
  number=0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    [[ ! $line =~ ^[[:blank:]]*(#|$) ]] || continue
    read -r _ place _ <<<"$line"
    printf -v place %b "${place//\\/\\0}"
    place=${place%/}
    case $place in "$target") continue ;; /*) ;; *) continue ;; esac
    # A folder with a mount on it is not a link, and may not respond.
    mounted "$place" || [ "$(limited 5 realpath -m -- "$place")" != "$target" ] \
      || echo "linked $number"
  done </etc/fstab
fi
echo "mounts $(sed 's/ - overlay \([^ ]*\) .*/ - overlay \1 rw/' /proc/self/mountinfo \
  | TARGET=$target awk '{at = $5 == "/" ? "/" : $5 "/"} index(ENVIRON["TARGET"] "/", at) == 1' \
  | base64 -w0)"
[ ! -f /run/mount/utab ] || echo "utab $(base64 -w0 /run/mount/utab)"
[ ! -f "$credentials" ] || echo "credentials $(stat -c %Y -- "$credentials")"
[ ! -f "$stopped" ] || sed 's/^/stopped /' "$stopped"
unit=$(systemd-escape -p --suffix=mount -- "$target")
shown=$(limited 30 systemctl show --timestamp=unix -p Id,LoadState,ActiveState,FragmentPath \
  -p DropInPaths,ActiveEnterTimestamp,NeedDaemonReload \
  -- "$unit" "${unit%.mount}.automount" 2>/dev/null)
[ $? != 124 ] || silent systemd
printf '%s\n' "$shown" | sed 's/^/unit /'
for file in $(printf '%s\n' "$shown" | sed -n 's/^DropInPaths=//p'); do
  ! grep -Eq '^[[:space:]]*(What|Where|Type|Options)[[:space:]]*=' "$file" || echo "override $file"
done
mkdir "$answers/beside"
limited 20 unshare -m sh -c "$beneath" sh "$target" "$answers/beside"
[ $? != 124 ] || silent "$above"
