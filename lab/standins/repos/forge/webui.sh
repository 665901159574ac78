echo "stand-in: start launch.py" >&2; exit 1
