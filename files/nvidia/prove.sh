#!/bin/sh
# PATIENCE IMAGE PROOF: tests that a container sees the GPU, and records the versions it was tested
# with.
#
# The image's PATH may not include the folder into which the driver's programs are mounted.

. files/nvidia/limited.sh

patience=$1 image=$2 proof=$3
name=ai-workstation-gpu-proof-$$
# shellcheck disable=SC2016 # for the container's shell
said=$(limited "$patience" docker run --rm --name "$name" --pull never \
  --device nvidia.com/gpu=all "$image" \
  sh -c 'PATH=$PATH:/usr/local/nvidia/bin:/usr/lib/wsl/lib; exec nvidia-smi -L'); status=$?
printf '%s\n' "$said"
case "$status $said" in
  0*"GPU "* | 14*"GPU "*) ;;
  *)
    echo "the container fails (exit status $status)"
    [ "$status" != 124 ] || limited 20 docker rm -f "$name" >/dev/null
    exit 1 ;;
esac
mkdir -p /var/lib/ai-workstation
printf '%s\n' "$proof" >/var/lib/ai-workstation/.gpu-proof
sync /var/lib/ai-workstation/.gpu-proof
mv /var/lib/ai-workstation/.gpu-proof /var/lib/ai-workstation/gpu-proof
