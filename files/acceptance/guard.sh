#!/bin/sh
# TABLE PATTERN: checks that a rule of the table drops traffic from other machines.
#
# Other programs flush all tables at start (nftables.service does) while our unit stays active.

rules=$(nft list table inet "$1" 2>&1)
if printf '%s\n' "$rules" | grep -q -- "$2"; then
  echo "traffic from other machines is dropped"
else
  echo "no rule drops traffic from other machines"; guarded=false
fi
printf '%s\n' "$rules"
${guarded:-true}
