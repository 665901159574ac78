#!/bin/sh
# Stand-in for tsx in Dockge's image. first_account.ts calls Dockge's own code, which is not here, so
# the stand-in for Dockge does the same.
case $1 in
    ./extra/first_account.ts) [ -e "$1" ] && exec python3 /app/dockge.py first-account ;;
    ./backend/index.ts) exec python3 /app/dockge.py ;;
esac
echo "tsx: cannot find $1" >&2
exit 1
