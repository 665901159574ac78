#!/bin/sh
# TABLE: checks that the rules of the table turn back what our containers may not reach: ports of the
# host, private addresses, and everything.
#
# Other programs flush all tables at start (nftables.service does) while our unit stays active.

rules=$(nft list table inet "$1" 2>&1)
has() {
  printf '%s\n' "$rules" | awk -v chain="$1" -v rule="$2" '
    $1 == "chain" {inside = $2 == chain}
    inside && $0 ~ rule {found = 1}
    END {exit !found}'
}
lacking=
has input 'iifkind "bridge" ether saddr & .* jump to_host$' || lacking="$lacking, input"
has forward 'iifkind "bridge" ether saddr & .* jump out$' || lacking="$lacking, forward"
has to_host '^[[:space:]]*reject' || lacking="$lacking, to the host"
has out '== 00:00:02:00:00:00 reject' || lacking="$lacking, to anywhere"
has out 'ip daddr .*192\.168\.0\.0/16.* reject' || lacking="$lacking, to private addresses"
if [ -n "$lacking" ]; then echo "rules are missing: ${lacking#, }"; else
  echo "what they may not reach is refused"
fi
printf '%s\n' "$rules"
[ -z "$lacking" ]
