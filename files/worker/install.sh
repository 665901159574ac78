#!/bin/sh
# RELEASE REPOSITORY COMMIT FOLDER INDEX TRUSTED: folder of the release; source of its code; the
# folder with its requirements.txt; a Python package index, or nothing; its host, if it has no TLS.
#
# It is installed in its final place, since a virtual environment contains its own path; a mark
# shows that it is complete. If the server does not serve a commit by its id, its branches are
# fetched. pip has its own certificates instead of those that the host trusts.

set -e
release=$1 repository=$2 commit=$3 folder=$4 index=$5 trusted=$6
fail() { echo "$1" >&2; exit 1; }
umask 022
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"
rm -rf "$release"; mkdir -p "$release"; cd "$release"
git init --quiet
git fetch --quiet --depth 1 -- "$repository" "$commit" 2>/dev/null \
  || git fetch --quiet -- "$repository" '+refs/*:refs/fetched/*' \
  || fail "git cannot fetch from $repository: correct worker_repository, or let root in."
git checkout --quiet "$commit" || fail "$repository has no commit $commit: correct worker_commit."
cd "$folder" && [ -f requirements.txt ] \
  || fail "commit $commit of $repository has no $folder/requirements.txt: correct worker_folder."
python3 -m venv "$release/.venv"
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
[ -z "$index" ] || export PIP_INDEX_URL="$index" PIP_TRUSTED_HOST="$trusted"
"$release/.venv/bin/pip" install --progress-bar off --no-cache-dir --requirement requirements.txt \
  || fail "$folder/requirements.txt of the worker cannot be installed, see above."
[ -x "$release/.venv/bin/celery" ] \
  || fail "$folder/requirements.txt of the worker does not name celery: add it there."
rm -rf "$release/.git"
sync -f "$release"
touch "$release/.complete"
sync -f "$release"
