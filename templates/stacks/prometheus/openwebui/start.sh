#!/bin/bash
# Starts Open WebUI with the password of its administrator, whom it creates before it answers anyone
# if it has no account. It reads the password from this variable alone, and only its own processes
# have it. Without a password, whoever came first would become administrator, so it does not start.
set -eu

password=$(cat /run/secrets/openwebui_password)
[ -n "$password" ] || { echo "/run/secrets/openwebui_password is empty" >&2; exit 1; }
export WEBUI_ADMIN_PASSWORD="$password"
exec bash start.sh
