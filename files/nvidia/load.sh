#!/bin/sh
# PATIENCE: loads the driver's kernel module, unless nvidia-smi works.
#
# A failure is reported in the words of modprobe, nvidia-smi and the kernel, from which
# workstation.nvidia.driver.load_advice derives the fix.

. files/nvidia/limited.sh

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
printf '%s\n' "$said"
dmesg 2>/dev/null | grep -iE 'NVRM|nvidia.*(key|signature)|module.*(reject|restrict)' | tail -n 3
for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
  [ ! -e "$key" ] || echo "this machine's own key for modules: $key"
done
! readlink /sys/bus/pci/devices/*/driver | grep -q '/nouveau$' || echo "nouveau holds the card"
exit 1
