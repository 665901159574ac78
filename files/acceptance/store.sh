#!/bin/sh
# STORE GROUP: whether the model store exists and only the group can use it.

seen=$(stat -L -c '%a %G' -- "$1") || exit 1
echo "$(find -H "$1" -type f | wc -l) files, mode and group $seen"
ls -l -- "$1/"
[ "$seen" = "2775 $2" ]
