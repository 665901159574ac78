#!/usr/bin/env bash
# BRANCH: what apt's lists have of it. Without apt's caches and logs, so that a fact leaves no
# trace.

. files/shell/limited.sh

command -v apt-get >/dev/null || exit 0
branch=$1 limited="limited 120"
options="-o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
options="$options -o Dir::Log::Planner="

. files/driver/choice.sh

driver=nvidia-driver-$branch utilities=nvidia-utils-${branch%-open}
policies=$(policies "$driver" "$utilities")
known "$driver" || exit 0
echo "version $driver $(version_of "$driver")"
! known "linux-headers-$kernel" \
  || echo "headers linux-headers-$kernel $(version_of "linux-headers-$kernel")"
choose "$driver" "$utilities" && echo known
[ "$how" != signed ] || echo "modules $signed-$kernel $(version_of "$signed-$kernel")"
printf '%s\n' "$plan" | grep -E '^(Inst|Remv|Purg) ' || true
