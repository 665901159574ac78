#!/usr/bin/env bash
# KEYRING SOURCES URI FINGERPRINT
#
# gpg always creates its home folder: not in root's, since a fact leaves no trace. Other sources are
# only printed if they name this server, with their keyrings.

. files/shell/limited.sh
. files/packages/source_files.sh

keyring=$1 sources=$2 key=$4
server=${3#*://}; server=${server%%/*}
if command -v gpg >/dev/null; then
  GNUPGHOME=$(mktemp -d); export GNUPGHOME; trap 'rm -rf "$GNUPGHOME"' EXIT
  has_key() { gpg --batch --show-keys --with-colons -- "$@" 2>/dev/null \
    | grep -q "^fpr:.*:$key:"; }
  # gpg is slow to start, so files are checked one by one only if one of them has the key.
  ! has_key /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/* \
    || for file in /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/*; do
      [ ! -f "$file" ] || ! has_key "$file" || echo "trusted $file"
    done
fi
! grep -q ai-workstation -- "$sources" 2>/dev/null || echo ours
echo "wanted $(encoded "$3")"
echo "own $(encoded "$keyring")"
told() {
  grep -qiF -e "${server:-/}" -- "$file" || return 0
  echo "file $(encoded "$file") $(base64 -w0 "$file")"
  awk 'tolower($0) ~ /signed-by/ {on = 1; print; next}
    on && /^[ \t]/ {print; next} {on = 0}' "$file" \
    | grep -oE '/[^],[:space:]]+' >>"$answers/keyrings"
}
eval "$(apt-config shell reader APT::Sandbox::User 2>/dev/null)"
reader=${reader:-_apt}
echo "$keyring" >"$answers/keyrings"
each_file told
sort -u "$answers/keyrings" | while IFS= read -r file; do
  [ -f "$file" ] || continue
  # apt checks signatures as a separate user, from whom a umask may hide it.
  ! answered getent passwd "$reader" >/dev/null \
    || answered runuser -u "$reader" -- test -r "$file" || continue
  echo "keyring $(encoded "$file") $(head -c 200000 "$file" | base64 -w0)"
done
true
