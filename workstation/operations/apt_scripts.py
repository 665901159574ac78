"""Shell scripts that work with apt on the host, and why each of them is as it is."""

from __future__ import annotations

from workstation.apt import LISTS

# Lists that were fetched within the hour will do, unless a source has been added since, or they
# do not.
UPDATED = "/run/ai-workstation.apt-updated"

# Waits for another apt (unattended-upgrades at boot) instead of failing; asks nothing, keeps the
# configuration files that somebody has changed, whatever apt.conf says, and takes no package that
# no key vouches for. What somebody has set about servers stays; else one that is silent costs two
# minutes, not four.
_APT = """
exec 2>&1
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1
export APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
apt="apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
apt="$apt -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
apt="$apt -o APT::Get::AllowUnauthenticated=false"
eval "$(apt-config shell lists Dir::State::lists/d etc Dir::Etc/d \\
  timeout Acquire::http::Timeout retries Acquire::Retries 2>/dev/null)"
lists=${lists:-/var/lib/apt/lists/}
servers=
[ -n "$timeout" ] || servers="-o Acquire::http::Timeout=20"
[ -n "$retries" ] || servers="$servers -o Acquire::Retries=2"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
"""

# Lists that were there before this boot may have been cut off by a power cut. apt does not see
# that: it compares the old Release file with the new one, and where there is none asks the server
# whether a list has changed since, which it has not. So they are all put aside and fetched anew;
# ours are flushed, for whoever uses apt next. A source that cannot be updated gets its old ones
# back, but not where apt cannot read them.
#
# apt waits for another's lock of dpkg, not for that of the lists. And it may wait for ever for a
# server (2.6: one that refuses, beside a second source on the same host).
_UPDATE = (
    f"fetching='{LISTS}'"
    + """
aside=${lists%/}.ai-workstation
fetch() {
  echo "$fetching"
  timeout -k 60 1200 $apt $servers update
  [ $? != 124 ] || echo "apt: apt-get update did not end within 20 minutes"
}
update() {
  if [ ! -e "$stamp" ]; then
    mkdir -p "$aside"
    find "$lists" -maxdepth 1 -type f ! -name lock -exec mv -f -t "$aside" -- {} +
    rm -f "$lists"partial/*
  fi
  tries=120
  while fetch 2>&1 | tee "$log"; grep -q '^E: Could not get lock' "$log" && [ "$tries" -gt 0 ]; do
    sleep 5; tries=$((tries - 1))
  done
  for file in "$lists"*Release; do
    name=${file##*/}; name=${name%Release}
    rm -f "$aside/${name%In}"*
  done
  restored=
  for file in "$aside"/*; do
    [ -e "$file" ] && [ ! -e "$lists${file##*/}" ] || continue
    mv "$file" "$lists"
    restored="$restored $lists${file##*/}"
  done
  rm -rf "$aside"
  [ -z "$restored" ] || apt-cache gencaches >/dev/null 2>&1 || rm -f $restored
  sync -f "$lists"
  touch "$stamp"
}
"""
)

# What a dpkg left half done that was interrupted, as by a power cut, is finished where apt refuses
# for it; what dpkg cannot finish, since it waits for a package that was not unpacked any more, apt
# solves. Only behind a try: until another apt is done, for which ours waits, all looks half done.
#
# apt removes what is in the way of a package, and says so to nobody: only what the plan has named
# may go. A mirror that is being updated, or a server that was gone, may be there a moment later.
#
# Before the packages: options for apt, and -NAME for each package that may go, or a pattern.
INSTALL = (
    _APT
    + _UPDATE
    + f"stamp={UPDATED} "
    + """
options= removable=
while :; do
  case $1 in
    --*) options="$options $1" ;;
    -*) removable="$removable ${1#-}" ;;
    *) break ;;
  esac
  shift
done
spared() {
  set -f
  for name in $(printf '%s\\n' "$1" | sed -n 's/^\\(Remv\\|Purg\\) \\([^ ]*\\).*/\\2/p'); do
    for pattern in $removable; do case $name in $pattern) continue 2 ;; esac; done
    printf '%s ' "$name"
  done
  set +f
}
get() {
  set -- install -y --no-install-recommends --allow-downgrades $options "$@"
  seen=$($apt -s "$@") || { status=$?; printf '%s\\n' "$seen"; return "$status"; }
  spared=$(spared "$seen")
  if [ -n "$spared" ]; then
    echo "apt: it would remove ${spared% }"
    return 1
  fi
  $apt "$@"
}
install() {
  get -- "$@" && return; status=$?
  ! $apt check >/dev/null 2>&1 || return "$status"
  echo "finishing what dpkg was interrupted over"
  dpkg --force-confdef --force-confold --configure -a || true
  get --fix-broken -- "$@"
}
try() {
  { install "$@"; echo $? >"$log.status"; } 2>&1 | tee -a "$log"
  read -r status <"$log.status"
  return "$status"
}
trap 'rm -f "$log" "$log.status"' EXIT
if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] \\
  && [ -z "$(find "${etc:-/etc/apt}" -newer "$stamp" -print -quit)" ]; then
  try "$@" && exit
fi
for pause in 15 30 ""; do
  begun=$(date +%s)
  update
  try "$@" && exit
  [ -n "$pause" ] && [ $(($(date +%s) - begun)) -lt 120 ] || break
  grep -Eq 'Failed to fetch|Hash Sum mismatch|unexpected size' "$log" || break
  echo "trying again in $pause seconds"
  sleep "$pause"
done
exit "$status"
"""
)

FETCH_KEY = """
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
curl -fsSL --retry 3 --connect-timeout 20 -o "$folder/key" "$1" || {
  echo "The key of the $4 repository cannot be fetched from $1." >&2; exit 1; }
found=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$folder/key" 2>/dev/null \\
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}')
[ "$found" = "$2" ] || {
  echo "The key at $1 has the fingerprint ${found:-none}, but pins.yml says $2:" \\
    "do not trust this source before you know why." >&2; exit 1; }
if grep -q 'BEGIN PGP' "$folder/key"; then
  gpg --batch --homedir "$folder" --dearmor -o "$folder/key.gpg" "$folder/key"
else
  mv "$folder/key" "$folder/key.gpg"
fi
trap 'rm -rf "$folder" "$3.new"' EXIT
install -D -m 644 "$folder/key.gpg" "$3.new"
sync "$3.new"
mv -fT "$3.new" "$3"
"""
