#!/usr/bin/env bash
#
# The packages that the lab needs on the control machine, and functions to install packages. Sourced
# by ./provision and tests/run.sh.

LAB_PACKAGES=(
    qemu-system-x86 qemu-utils mmdebstrap uidmap debian-archive-keyring e2fsprogs
    samba smbclient socat openssh-client git gpg gpg-agent zstd dpkg-dev apt-utils ca-certificates
)

say() { printf 'provision: %s\n' "$*" >&2; }

# fail PROBLEM FIX
fail() {
    say "$1"
    say "to fix it: $2"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root: $*" "run it as root, then run ./provision again"
    fi
}

install_packages() {
    command -v apt-get >/dev/null ||
        fail "this needs the Debian packages $*" "install the same programs with your package manager"
    say "installing $*"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
    as_root "${apt[@]}" update
    as_root "${apt[@]}" install -y --no-install-recommends --no-upgrade "$@" >/dev/null ||
        fail "apt could not install $*" "see its message above, then run ./provision again"
}

# missing PACKAGE...: prints those that are not installed, one per line.
missing() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

install_missing() {
    local missing
    mapfile -t missing < <(missing "$@")
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# install_silent SERVICES PACKAGE...: installs missing packages without starting their services, which
# are left disabled.
install_silent() {
    local services missing
    read -ra services <<<"$1"
    shift
    mapfile -t missing < <(missing "$@")
    [ ${#missing[@]} -eq 0 ] && return
    if [ -d /run/systemd/system ]; then
        as_root systemctl --quiet --runtime mask "${services[@]}"
        install_packages "${missing[@]}"
        as_root systemctl --quiet disable "${services[@]}"
        as_root systemctl --quiet --runtime unmask "${services[@]}"
    else
        install_packages "${missing[@]}"
    fi
}

# The lab runs a Samba server of its own, on loopback.
install_lab_packages() {
    [ -z "$(missing samba)" ] ||
        install_silent "smbd.service nmbd.service samba-ad-dc.service" samba
    install_missing "${LAB_PACKAGES[@]}"
}
