#!/bin/sh
# KEYRING FINGERPRINT: removes a key from a keyring.
#
# Only this key is removed: the keyring may contain others.

set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
others=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$1" \
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}' | grep -vxF "$2") || true
if [ -n "$others" ]; then
  file=$(readlink -f "$1"); new=$file.ai-workstation
  trap 'rm -rf "$folder" "$new"' EXIT
  cp -a "$file" "$new"
  # shellcheck disable=SC2086 # a list, one word each
  gpg --batch --homedir "$folder" --no-default-keyring --keyring "$1" --export $others > "$new"
  sync "$new"
  mv -fT "$new" "$file"
else
  rm -f "$1"
fi
