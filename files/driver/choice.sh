#!/bin/sh
# How a plan and a run choose the same kernel modules for $branch; $options are apt's, $limited the
# words before it. $policies must be set to the output of the function of that name; then
# version_of, known and choose are available, which set $how, $modules and $plan. $leaving: packages
# of other branches.
#
# Ubuntu signs modules for the kernels that it ships; those load under Secure Boot without a key of
# this machine, and need no compiler. Their metapackage follows the one that upgrades the kernel
# (ubuntu.com/server/docs, "NVIDIA drivers installation"). Otherwise DKMS builds modules, for which
# it needs the headers, also those of later kernels.
#
# All packages of another branch are removed, even held or half installed ones: depmod prefers a
# module built by DKMS to one of Ubuntu's, and apt only removes a held package if it is named.

: "${branch:?}" "${options?}" "${limited?}"
kernel=$(uname -r)
signed=linux-modules-nvidia-$branch
there() { dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' -- "$@" 2>/dev/null; }
flavour=$(printf '%s' "$kernel" | cut -d- -f3-)
kinds=$(there "linux-image-${flavour:-${kernel##*-}}*" 'linux-image-virtual*' \
  | sed -n 's/^installed linux-image-//p' | sed 's/^virtual/generic/')
leaving=$(there '*nvidia-*' | awk -v branch="$branch" '
  BEGIN {base = branch; sub(/-open$/, "", base)}
  $1 == "not-installed" || $1 == "config-files" {next}
  {
    rest = $2; wanted = base
    if (sub(/^linux-(modules|objects)-nvidia-/, "", rest) \
      || sub(/^nvidia-((driver|headless|headless-no-dkms|dkms|kernel-source)-)?/, "", rest) \
        && rest ~ /^[0-9]/) wanted = branch
    else {rest = $2; sub(/^(lib|xserver-xorg-video-)?nvidia-([a-z][a-z0-9]*-)*/, "", rest)}
    if (rest !~ /^[0-9][0-9][0-9](-server)?(-open)?([-:]|$)/) next
    found = substr(rest, 1, 3)
    if (rest ~ /^...-server/) found = found "-server"
    if (rest ~ /^...(-server)?-open/) found = found "-open"
    if (found != wanted) print $2 "-"
  }')
policies() {
  for kind in "$kernel" $kinds; do set -- "$@" "$signed-$kind" "linux-headers-$kind"; done
  # shellcheck disable=SC2086 # a list, one word each
  apt-cache $options policy -- "$@" 2>/dev/null | awk '/^[^ ]/ {name = $1; sub(/:$/, "", name)}
    $1 == "Candidate:" && $2 != "(none)" {print name, $2}'
}
# shellcheck disable=SC2154 # $policies is of who includes this
version_of() { printf '%s\n' "$policies" | awk -v name="$1" '$1 == name {print $2}'; }
known() { [ -n "$(version_of "$1")" ]; }
following() { for kind in $kinds; do ! known "$1-$kind" || echo "$1-$kind"; done; }
simulate() {
  # shellcheck disable=SC2086 # a list, one word each
  $limited apt-get $options -q -s -y install --no-install-recommends --allow-downgrades \
    --allow-change-held-packages -- "$@" 2>/dev/null
}
# shellcheck disable=SC2034 # for who includes this
choose() {
  how=signed modules="$signed-$kernel $(following "$signed")"
  # shellcheck disable=SC2086 # a list, one word each
  known "$signed-$kernel" && plan=$(simulate "$@" $modules $leaving) && return
  how=dkms modules=
  if known "linux-headers-$kernel"; then
    modules="linux-headers-$kernel $(following linux-headers)"
  elif [ ! -e "/lib/modules/$kernel/build" ]; then
    how=
    return 1
  fi
  # shellcheck disable=SC2086 # a list, one word each
  plan=$(simulate "$@" $modules $leaving)
}
