#!/bin/bash
# Stand-in for ComfyUI-Docker's entrypoint: the first start copies the bundle and stops on errors.
if [ ! -f /root/ComfyUI/main.py ]; then
    echo "[INFO] First start: copying the bundle to /root/ComfyUI"
    mkdir -p /root/ComfyUI || exit 1
    if ! cp --archive --no-clobber /default-comfyui-bundle/ComfyUI/. /root/ComfyUI/; then
        echo "[ERROR] The bundle could not be copied to /root/ComfyUI" >&2
        exit 1
    fi
fi
if [ -f /root/user-scripts/pre-start.sh ]; then
    # shellcheck disable=SC1091
    source /root/user-scripts/pre-start.sh
fi
cd /root || exit 1
# CLI_ARGS is split on spaces, as upstream does.
# shellcheck disable=SC2086
exec python3 ./ComfyUI/main.py --listen --port 8188 ${CLI_ARGS}
