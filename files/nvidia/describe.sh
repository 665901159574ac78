#!/bin/sh
# PATIENCE OLD...: describes the GPU to Docker; seconds that one program may take; descriptions to
# move away.
#
# It is written to the folder that the toolkit's own unit updates at boot and after upgrades
# (toolkit 1.18 and later: nvidia-cdi-refresh.service, whose settings apply), if that unit is
# enabled; /run is empty after a boot. The unit itself is not used: it is skipped if it finds no
# kernel module by name, and still counts as started. nvidia-smi creates the device nodes, which are
# described too.

. files/nvidia/limited.sh

patience=$1; shift
for old; do
  mv --backup=numbered -T -- "$old" "$old.before-ai-workstation" || exit 1
done
set -a
# shellcheck source=/dev/null # the host's
[ ! -r /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env ] \
  || . /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env
set +a
folder=/etc/cdi
case $(systemctl is-enabled nvidia-cdi-refresh.service 2>/dev/null) in
  enabled | enabled-runtime | static) folder=/var/run/cdi ;;
esac
target=${NVIDIA_CTK_CDI_OUTPUT_FILE_PATH:-$folder/nvidia.yaml}
mkdir -p "${target%/*}"
said=$(limited "$patience" nvidia-smi -L)
[ $? != 124 ] || {
  echo "nvidia-smi does not answer within $patience s: the card or its driver hangs. Reboot the" \
    "machine; if that does not help, power it off." >&2
  exit 1
}
said=$(limited "$patience" nvidia-ctk cdi generate --output="$target") || {
  printf '%s\n' "$said" | grep -v level=info | tail -n 5 >&2
  echo "nvidia-ctk failed to describe the GPU to Docker (CDI); its message is above." >&2
  exit 1
}
limited "$patience" nvidia-ctk cdi list | grep 'nvidia.com/gpu=all' || {
  limited "$patience" nvidia-ctk cdi list | grep level=warning >&2
  echo "$target describes the GPU, but nvidia.com/gpu=all is not available: another file in" \
    "/etc/cdi or /var/run/cdi conflicts with it, see above." >&2
  exit 1
}
