#!/bin/sh
# RELEASE REPOSITORY COMMIT FOLDER INDEX TRUSTED HASHES USER BUILD: folder of the release; source of
# its code; the folder with its requirements.txt; a Python package index, or nothing; its host, if
# it has no TLS; whether each package must have a hash; the user who installs it; build.sh.
#
# Root fetches, because the repository may be open to root's key alone, and does nothing else: files
# of the repository, and what packages run while they are built, belong to USER. It is not the
# worker's user, so the worker cannot change its code. What USER starts ends with the installation.
#
# If the server does not serve a commit by its id, its branches are fetched.

set -e
release=$1 repository=$2 commit=$3 user=$8 build=$9
fail() { echo "$1" >&2; exit 1; }
umask 022
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"
# Wherever a redirect, or an address that root's configuration replaces, may lead.
case $repository in http://*) plain=:http ;; *) plain='' ;; esac
export GIT_ALLOW_PROTOCOL="https:ssh$plain"
fetch() {
  git -c core.hooksPath=/dev/null -c gc.auto=0 fetch --quiet --no-recurse-submodules "$@"
}
rm -rf "$release"; mkdir -p "$release"; cd "$release"
git init --quiet --template=
fetch --depth 1 -- "$repository" "$commit" 2>/dev/null \
  || fetch -- "$repository" '+refs/*:refs/fetched/*' \
  || fail "git cannot fetch from $repository: correct worker_repository, or let root in."
# Until here, root alone could write to it.
chown -R "$user:" "$release"
for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
  case $name in PATH|LC_*|LANG*|*_proxy|*_PROXY) ;; *) unset "$name" ;; esac
done
unshare --fork --pid --kill-child \
  setpriv --reuid="$user" --regid="$(id -g -- "$user")" --clear-groups --no-new-privs --inh-caps=-all \
  --bounding-set=-all sh -c "$build" sh "$@" </dev/null
