#!/bin/sh
# PORT: of Ollama. Prints the versions of the installed programs.
#
# A program that does not answer has no line. 192.0.2.1 belongs to nobody (RFC 5737), and nothing is
# sent to it: the route to it shows the address under which others know this machine.

. files/nvidia/limited.sh

# shellcheck source=/dev/null # the host's
. /etc/os-release && echo "System: $PRETTY_NAME"
echo "Kernel: $(uname -r)"
ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/address: \1/p'
echo "Ollama: $(curl -s --noproxy '*' --max-time 60 "http://127.0.0.1:$1/api/version" \
  | sed -n 's/.*"version": *"\([^"]*\)".*/\1/p')"
toolkit=$(dpkg-query -W -f '${Version}' nvidia-container-toolkit 2>/dev/null)
echo "NVIDIA Container Toolkit: $toolkit"
echo "Docker: $(timeout 60 docker version -f '{{.Server.Version}}' 2>/dev/null)"
echo "Compose: $(timeout 60 docker compose version --short 2>/dev/null)"
echo "Buildx: $(timeout 60 docker buildx version 2>/dev/null | cut -d' ' -f2)"
echo "containerd: $(timeout 60 docker version \
  -f '{{range .Server.Components}}{{if eq .Name "containerd"}}{{.Version}}{{end}}{{end}}' \
  2>/dev/null)"
timeout 60 docker ps --format '{{.Image}} {{.Label "org.opencontainers.image.version"}}' \
  2>/dev/null | sed 's/^/image: /'
limited 20 nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader \
  | sed 's/^/card: /'
