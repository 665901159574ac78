#!/bin/sh
# How install.sh and update.sh call apt.
#
# It waits for another apt (unattended-upgrades at boot) instead of failing, asks nothing, keeps
# changed configuration files whatever apt.conf says, and installs no unsigned packages. Existing
# settings about servers apply; otherwise a silent server costs two minutes instead of four.

exec 2>&1
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 UCF_FORCE_CONFFOLD=1
export APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
apt="apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
apt="$apt -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
apt="$apt -o APT::Get::AllowUnauthenticated=false"
eval "$(apt-config shell lists Dir::State::lists/d etc Dir::Etc/d \
  timeout Acquire::http::Timeout retries Acquire::Retries 2>/dev/null)"
lists=${lists:-/var/lib/apt/lists/}
servers=
[ -n "$timeout" ] || servers="-o Acquire::http::Timeout=20"
[ -n "$retries" ] || servers="$servers -o Acquire::Retries=2"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
