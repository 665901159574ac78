#!/bin/sh
# Stand-in for tsx in Dockge's image: the real program of this project has no Dockge to call here, so
# the stand-in does what it does.
case $1 in
    ./extra/first_account.ts) [ -e "$1" ] && exec python3 /app/dockge.py first-account ;;
    ./backend/index.ts) exec python3 /app/dockge.py ;;
esac
echo "tsx: cannot find $1" >&2
exit 1
