#!/bin/sh
# RELEASE REPOSITORY COMMIT FOLDER INDEX TRUSTED HASHES: the arguments of install.sh, which runs this
# as the user who owns the release.
#
# It is installed in its final place, since a virtual environment contains its own path; a mark
# shows that it is complete. pip has its own certificates instead of those that the host trusts.

set -e
release=$1 repository=$2 commit=$3 folder=$4 index=$5 trusted=$6 hashes=$7
fail() { echo "$1" >&2; exit 1; }
cd "$release"
HOME=$(mktemp -d)
export HOME
trap 'rm -rf "$HOME"' EXIT
git checkout --quiet "$commit" || fail "$repository has no commit $commit: correct worker_commit."
cd "$folder" && [ -f requirements.txt ] \
  || fail "commit $commit of $repository has no $folder/requirements.txt: correct worker_folder."
python3 -m venv "$release/.venv"
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
[ -z "$index" ] || export PIP_INDEX_URL="$index" PIP_TRUSTED_HOST="$trusted"
[ -z "$hashes" ] || export PIP_REQUIRE_HASHES=1
"$release/.venv/bin/pip" install --progress-bar off --no-cache-dir --requirement requirements.txt \
  || fail "$folder/requirements.txt of the worker cannot be installed, see above."
[ -x "$release/.venv/bin/celery" ] \
  || fail "$folder/requirements.txt of the worker does not name celery: add it there."
rm -rf "$release/.git"
sync -f "$release"
touch "$release/.complete"
sync -f "$release"
