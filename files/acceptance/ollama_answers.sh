#!/bin/sh
# URL VERSION: whether it answers with this version, or with any version if VERSION is empty.

answer=$(curl -sSf --noproxy '*' --max-time 60 "$1" 2>&1) || { printf '%s\n' "$answer"; exit 1; }
version=$(printf '%s\n' "$answer" | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p')
echo "it is version ${version:-unknown}"
printf '%s\n' "$answer"
case $2 in "" | "$version") ;; *) echo "pins.yml names version $2"; exit 1 ;; esac
