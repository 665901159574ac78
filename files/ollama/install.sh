#!/bin/sh
# RELEASE URL SHA256 SUMS: unpacks an archive as a release; without a checksum, the one in the file
# SUMS is used.
#
# It is verified before it is unpacked, unpacked under a temporary name, flushed, and only then
# given its name. The archive is in the same folder, so a finished release has left nothing behind,
# wherever an earlier run was interrupted.

. files/ollama/download.sh

release=$1 url=$2 sha256=$3 sums=$4
mkdir -p "$(dirname "$release")"
partial=$(dirname "$release")/.partial
rm -rf "$partial"; mkdir "$partial"
trap 'rm -rf "$partial"' EXIT
if [ -z "$sha256" ]; then
  curl -fsSL --retry 3 -o "$partial/.sums" "$sums" || {
    echo "The checksums of Ollama cannot be fetched from $sums." >&2; exit 1; }
  sha256=$(awk -v name="$(basename "$url")" '$2 ~ "(^|/)" name "$" {print $1}' "$partial/.sums")
fi
download "$url" "$partial/.archive" "$sha256"
echo "unpacking"
tar --zstd -xf "$partial/.archive" -C "$partial" || {
  echo "The archive from $url cannot be unpacked." >&2; exit 1; }
[ -f "$partial/bin/ollama" ] || {
  echo "The archive from $url does not contain bin/ollama." >&2; exit 1; }
rm -f "$partial/.archive" "$partial/.sums"
chown -R root:root "$partial"
touch "$partial/.complete"
sync -f "$partial"
rm -rf "$release"
mv -T "$partial" "$release"
sync -f "$release"
