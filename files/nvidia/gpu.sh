#!/usr/bin/env bash
# PATIENCE QUERY OLD-QUERY: seconds that an NVIDIA program may take; the query for nvidia-smi, and
# one for versions that do not support all of it.
#
# nvidia-smi has another path under WSL, and if the driver was installed as an image.

. files/shell/limited.sh

patience=$1; shift
PATH=$PATH:/usr/lib/wsl/lib:/usr/local/nvidia/bin; export PATH

# Class 0x03 is a display device (PCI Code and ID Assignment Specification).
for device in /sys/bus/pci/devices/*; do
  read -r vendor 2>/dev/null <"$device/vendor" && [ "$vendor" = 0x10de ] || continue
  case $(cat "$device/class") in
    0x03*)
      bound=$(readlink "$device/driver")
      echo "pci 10de:$(cut -c3- "$device/device") ${bound##*/}" ;;
  esac
done

# The library is the one that the loader would take. A kernel may be built without the versions of
# modules in sysfs.
module=
if [ -r /sys/module/nvidia/version ]; then
  module=$(cat /sys/module/nvidia/version)
elif [ -r /proc/driver/nvidia/version ]; then
  module=$(grep -oE '[0-9]{3}\.[0-9.]+' /proc/driver/nvidia/version | head -n 1)
  module=${module:-?}
elif [ -d /sys/module/nvidia ]; then
  module="?"
fi
echo "module $module"
library=$(ldconfig -p 2>/dev/null \
  | sed -n 's/.*libnvidia-ml\.so\.1 .*x86-64.* => //p' | head -n 1)
library=$(readlink -f "$library" 2>/dev/null)
case $library in *.so.*) echo "library ${library##*.so.}" ;; esac

# shellcheck disable=SC2016 # for the shell that it starts
ask() {
  said=$(limited "$patience" sh -c 'exec "$@" 2>&1' sh nvidia-smi --query-gpu="$1" \
    --format=csv,noheader,nounits); status=$?
}
status=0
if command -v nvidia-smi >/dev/null; then
  ask "$1"
  case $said in *compute_cap*) ask "$2" ;; esac
  echo "status $status"
  printf '%s\n' "$said" | head -n 50 | sed 's/^/said /'
fi

# Secure Boot as the kernel sees it (efi_get_secureboot in libstub): the firmware's variable, unless
# shim is configured otherwise; a variable's value comes after four bytes of attributes. A kernel
# may require signatures without it (module.sig_enforce, lockdown). Debian's module is
# nvidia-current.
running=$(uname -r)
has_module() {
  find "/lib/modules/$1/" \( -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' \) \
    2>/dev/null | grep -q .
}
version_for() {
  for name in nvidia nvidia-current; do
    found=$(modinfo -k "$1" -F version "$name" 2>/dev/null | head -n 1)
    [ -z "$found" ] || { echo "$found"; break; }
  done
}
byte() { tail -c 1 "/sys/firmware/efi/efivars/$1" 2>/dev/null | od -An -tu1; }
shim=605dab50-e046-4300-abb6-3dd810dd8b23
if [ "$(byte SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c)" -eq 1 ] 2>/dev/null \
  && ! [ "$(byte "MokSBStateRT-$shim")" -eq 1 ] 2>/dev/null
then
  echo signed-only
elif grep -qsE 'Y|\[(integrity|confidentiality)\]' \
  /sys/module/module/parameters/sig_enforce /sys/kernel/security/lockdown
then
  echo signed-only
fi
echo "running $running"
version_for "$running" | sed 's/^/installed /'
if [ -z "$module" ]; then
  for folder in /lib/modules/*/; do
    kernel=$(basename "$folder")
    ! has_module "$kernel" || echo "kernel $kernel"
  done
  for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
    [ ! -f "$key" ] || echo "key $key $(limited 10 sh -c 'exec "$@" 2>&1' sh \
      mokutil --test-key "$key" | head -n 1)"
  done
else
  # shellcheck disable=SC2012 # sort -V wants lines
  next=$(ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1)
  next=${next#/boot/vmlinuz-}
  if [ -n "$next" ] && [ "$next" != "$running" ] && has_module "$running"; then
    if has_module "$next"; then
      echo "boots $next $(version_for "$next")"
    else
      echo "next $next"
    fi
  fi
fi
if [ -z "$module" ] || [ "$status" != 0 ] || [ -z "${said##*No devices*}" ]; then
  dmesg 2>/dev/null | sed 's/^\[[^]]*\] *//' \
    | grep -iE 'NVRM|Xid|nvidia.*(key|signature)|module.*(reject|restrict)' \
    | grep -vE 'loading NVIDIA UNIX|Persistence mode' | tail -n 3 | sed 's/^/log /'
fi

# nvidia-ctk writes YAML or JSON; in an entry with a hostPath, path is the one in the container.
if command -v nvidia-ctk >/dev/null; then
  limited "$patience" nvidia-ctk cdi list 2>/dev/null \
    | grep -o 'nvidia.com/gpu=.*' | sed 's/^/cdi /'
fi
for file in /etc/cdi/*.yaml /etc/cdi/*.json /var/run/cdi/*.yaml /var/run/cdi/*.json; do
  grep -Eq '"?kind"?: *"?nvidia\.com/gpu' "$file" 2>/dev/null || continue
  echo "described $file"
  grep -oE '"?\<name"?: *"?[A-Za-z0-9:._-]+' "$file" | sed 's/.*[ "]/names /' | sort -u
  grep -oE 'lib(cuda|nvidia-ml)\.so\.[0-9]{3,}\.[0-9.]*[0-9]' "$file" \
    | sed 's/.*\.so\./version /' | sort -u
  awk '/hostPath/ {print; own = 1; next} /[- "]path"?:/ && !own {print} {own = 0}' \
    "$file" | grep -oE '"?\<(hostPath|path)"?: *"?/[^",]+' \
    | sed 's/[^/]*//; s/ *$//' | sort -u \
    | while read -r path; do [ -e "$path" ] || echo "missing $path"; done | head -n 3
done
[ ! -f /var/lib/ai-workstation/gpu-proof ] \
  || echo "probed $(cat /var/lib/ai-workstation/gpu-proof)"
true
