"""Shell scripts for NVIDIA's driver and toolkit on the host, and why each of them is as it is."""

from __future__ import annotations

from workstation.facts.driver import CHOICE

# nvidia-smi stands in other places under WSL, and where the driver came as an image. Whoever waits
# for a wedged card hears no signal, so it holds no pipe of ours and is left behind.
_LIMITED = """
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/wsl/lib:/usr/local/nvidia/bin; export PATH
limited() {
  limit=$1 ticks=$((($1 + 7) * 5)) status=124; shift
  answer=$(mktemp -d) || return 1
  ( timeout -k 5 "$limit" "$@" >"$answer/said" 2>&1 </dev/null
    echo $? >"$answer/new"; mv "$answer/new" "$answer/status" ) >/dev/null 2>&1 &
  while [ ! -e "$answer/status" ] && [ "$ticks" -gt 0 ]; do
    sleep 0.2; ticks=$((ticks - 1))
  done
  [ ! -e "$answer/status" ] || read -r status <"$answer/status"
  cat "$answer/said"
  rm -rf "$answer"
  [ "$status" != 137 ] || status=124
  return "$status"
}
"""

# Only after `apt update` is it known what there is. The modules are not held: a later kernel brings
# its own, if they fit the driver that is held.
#
# Before the packages: -NAME for each one that may go, as the plan says.
INSTALL = (
    """
install=$1 branch=$2 may= options= limited=; shift 2
while :; do case $1 in -*) may="$may $1"; shift ;; *) break ;; esac; done
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=600 -q update || true
"""
    + CHOICE
    + """
policies=$(policies "$@")
for package; do
  known "${package%%=*}" && continue
  echo "apt has no package ${package%%=*}. NVIDIA_DRIVER names a branch of Ubuntu's packages" \\
    "(restricted): \\`apt-cache search --names-only '^nvidia-driver-[0-9]'\\` lists them." \\
    "Nothing was installed." >&2
  exit 1
done
choose "$@" || true
case $how in
  signed) echo "kernel modules: signed by Ubuntu ($signed-$kernel)" ;;
  dkms) echo "kernel modules: built here by DKMS" ;;
  *)
    echo "apt has neither signed modules of $branch nor headers for the running kernel $kernel:" \\
      "upgrade the kernel (\\`apt full-upgrade\\`), reboot, run again. Nothing was installed." >&2
    exit 1 ;;
esac
sh -c "$install" sh --allow-change-held-packages $may "$@" $modules $leaving
"""
)

# What goes wrong is told by the words of modprobe, nvidia-smi and the kernel, from which
# workstation.driver.load_advice makes out what helps.
LOAD = (
    _LIMITED
    + """
patience=$1
answer=$(limited "$patience" nvidia-smi) && exit 0
said=$(limited 120 modprobe nvidia); status=$?
if [ "$status" = 0 ]; then
  said=$(limited "$patience" nvidia-smi); status=$?
  case $status in 0 | 14) exit 0 ;; esac
  echo "nvidia-smi fails (exit status $status):"
else
  echo "modprobe nvidia fails (exit status $status):"
fi
printf '%s\\n' "$said"
dmesg 2>/dev/null | grep -iE 'NVRM|nvidia.*(key|signature)|module.*(reject|restrict)' | tail -n 3
for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
  [ ! -e "$key" ] || echo "this machine's own key for modules: $key"
done
! readlink /sys/bus/pci/devices/*/driver | grep -q '/nouveau$' || echo "nouveau holds the card"
exit 1
"""
)

# Into the folder that the toolkit's own unit renews at boot and after upgrades (toolkit 1.18 and
# later: nvidia-cdi-refresh.service, whose settings count), where that unit is enabled; /run is
# empty after a boot. Not by that unit: it is skipped where it finds no kernel module by name, and
# still counts as started. nvidia-smi makes the device nodes, which are described too.
DESCRIBE = (
    _LIMITED
    + """
patience=$1; shift
for old; do
  mv --backup=numbered -T -- "$old" "$old.before-ai-workstation" || exit 1
done
set -a
[ ! -r /etc/nvidia-container-toolkit/nvidia-cdi-refresh.env ] \\
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
  echo "nvidia-smi does not answer within $patience s: the card or its driver hangs. Reboot the" \\
    "machine, power it off if that does not help." >&2
  exit 1
}
said=$(limited "$patience" nvidia-ctk cdi generate --output="$target") || {
  printf '%s\\n' "$said" | grep -v level=info | tail -n 5 >&2
  echo "nvidia-ctk does not describe the GPU to Docker (CDI), its words stand above." >&2
  exit 1
}
limited "$patience" nvidia-ctk cdi list | grep 'nvidia.com/gpu=all' || {
  limited "$patience" nvidia-ctk cdi list | grep level=warning >&2
  echo "$target describes the GPU, and nvidia.com/gpu=all is not to be had: another file of" \\
    "/etc/cdi or /var/run/cdi stands in its way, see above." >&2
  exit 1
}
"""
)

# The image's PATH may not lead to where the driver's programs are mounted from.
PROVE = (
    _LIMITED
    + """
patience=$1 image=$2 proof=$3
name=ai-workstation-gpu-proof-$$
said=$(limited "$patience" docker run --rm --name "$name" --pull never \\
  --device nvidia.com/gpu=all "$image" \\
  sh -c 'PATH=$PATH:/usr/local/nvidia/bin:/usr/lib/wsl/lib; exec nvidia-smi -L'); status=$?
printf '%s\\n' "$said"
case "$status $said" in
  0*"GPU "* | 14*"GPU "*) ;;
  *)
    echo "the container fails (exit status $status)"
    [ "$status" != 124 ] || limited 20 docker rm -f "$name" >/dev/null
    exit 1 ;;
esac
mkdir -p /var/lib/ai-workstation
printf '%s\\n' "$proof" >/var/lib/ai-workstation/.gpu-proof
sync /var/lib/ai-workstation/.gpu-proof
mv /var/lib/ai-workstation/.gpu-proof /var/lib/ai-workstation/gpu-proof
"""
)

# Only this key goes: the keyring may hold others' too.
FORGET_KEY = """
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
others=$(gpg --batch --homedir "$folder" --show-keys --with-colons "$1" \\
  | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}' | grep -vxF "$2") || true
if [ -n "$others" ]; then
  file=$(readlink -f "$1"); new=$file.ai-workstation
  trap 'rm -rf "$folder" "$new"' EXIT
  cp -a "$file" "$new"
  gpg --batch --homedir "$folder" --no-default-keyring --keyring "$1" --export $others > "$new"
  sync "$new"
  mv -fT "$new" "$file"
else
  rm -f "$1"
fi
"""
