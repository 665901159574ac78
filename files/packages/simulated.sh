#!/usr/bin/env bash
# PACKAGE...: what apt would do. Without its caches and logs, so that a fact leaves no trace.

. files/shell/limited.sh

command -v apt-get >/dev/null || exit 0
limited 120 apt-get -s -q -o Debug::NoLocking=1 \
  -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::Log::Planner= \
  install -y --no-install-recommends -- "$@" >"$answers/plan" 2>/dev/null \
  && echo known
grep -E '^(Inst|Remv|Purg) ' "$answers/plan" || true
