#!/usr/bin/env bash
# Every package that dpkg knows, in one answer.

. files/shell/limited.sh

# shellcheck disable=SC2016 # fields of dpkg-query
! command -v dpkg-query >/dev/null || answered dpkg-query -W -f \
  '${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\n'
