#!/bin/sh
# URL FINGERPRINT KEYRING NAME: installs a repository's key as its keyring, if it is the pinned one.

set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
curl -fsSL --retry 3 --connect-timeout 20 -o "$folder/key" "$1" || {
  echo "The key of the $4 repository cannot be fetched from $1." >&2; exit 1; }
found=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$folder/key" 2>/dev/null \
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}')
[ "$found" = "$2" ] || {
  echo "The key at $1 has the fingerprint ${found:-none}, but pins.yml says $2:" \
    "do not trust this source until you know why." >&2; exit 1; }
if grep -q 'BEGIN PGP' "$folder/key"; then
  gpg --batch --homedir "$folder" --dearmor -o "$folder/key.gpg" "$folder/key"
else
  mv "$folder/key" "$folder/key.gpg"
fi
trap 'rm -rf "$folder" "$3.new"' EXIT
install -D -m 644 "$folder/key.gpg" "$3.new"
sync "$3.new"
mv -fT "$3.new" "$3"
