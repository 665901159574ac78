#!/bin/sh
# TABLE PATTERN: whether a rule of the table drops what comes from neighbours.
#
# Other programs flush all tables when they start (nftables.service does), the unit stays active.

rules=$(nft list table inet "$1" 2>&1)
if printf '%s\n' "$rules" | grep -q -- "$2"; then
  echo "what comes from neither Docker's bridges nor this machine is dropped"
else
  echo "no rule drops what comes from neighbours"; guarded=false
fi
printf '%s\n' "$rules"
${guarded:-true}
