#!/bin/sh
# INSTALL BRANCH -NAME... PACKAGE...: packages/install.sh; a branch such as 580-open; each package
# that may be removed, as named in the plan; driver and utilities.
#
# Available packages are only known after `apt update`. The modules are not held: a later kernel
# brings its own, if they fit the held driver.

# shellcheck disable=SC2034 # some are for choice.sh
install=$1 branch=$2 may='' options='' limited=''; shift 2
while :; do case $1 in -*) may="$may $1"; shift ;; *) break ;; esac; done
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=600 -q update || true

. files/driver/choice.sh

policies=$(policies "$@")
for package; do
  known "${package%%=*}" && continue
  echo "apt has no package ${package%%=*}. NVIDIA_DRIVER names a branch of Ubuntu's packages" \
    "(restricted): \`apt-cache search --names-only '^nvidia-driver-[0-9]'\` lists them." \
    "Nothing was installed." >&2
  exit 1
done
choose "$@" || true
case $how in
  signed) echo "kernel modules: signed by Ubuntu ($signed-$kernel)" ;;
  dkms) echo "kernel modules: built here by DKMS" ;;
  *)
    echo "apt has neither signed modules of $branch nor headers for the running kernel $kernel:" \
      "upgrade the kernel (\`apt full-upgrade\`), reboot, run again. Nothing was installed." >&2
    exit 1 ;;
esac
# shellcheck disable=SC2086 # a list, one word each
sh -c "$install" sh --allow-change-held-packages $may "$@" $modules $leaving
