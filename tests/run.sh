#!/usr/bin/env bash
#
# Every check and test of this repository except the long ones. ./provision test creates the virtual
# environment and runs this script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. lab/packages.sh

# What the fast tests use: programs that scripts call on hosts, and a browser for the page. firewalld
# is left out, because its package starts it, and it would close ports on your own machine.
TEST_PACKAGES=(
    curl git gpg gpg-agent zstd ca-certificates nftables iproute2 openssh-client dpkg-dev
    ufw iptables systemd kmod e2fsprogs util-linux gcc libc6-dev binutils
    chromium chromium-driver fonts-dejavu-core
)

# ufw is installed disabled, unless settings remain from an earlier installation that was enabled.
install_test_packages() {
    local settings=/etc/ufw/ufw.conf
    if [ -n "$(missing ufw)" ] && grep -qiE '^ENABLED="?yes' "$settings" 2>/dev/null; then
        fail "ufw, which the tests need, would be enabled right away by $settings from an earlier installation" \
            "apt-get purge ufw, or set ENABLED=no in $settings"
    fi
    install_missing "${TEST_PACKAGES[@]}"
}

# step COMMAND: shows the command, then runs it.
step() {
    say "$*"
    "$@"
}

end_labs() {
    local lab jobs
    mapfile -t jobs < <(jobs -p)
    [ ${#jobs[@]} -eq 0 ] || kill "${jobs[@]}" 2>/dev/null || true
    for lab in .lab/test .lab/test-2; do
        [ ! -d "$lab" ] || python -m lab --state "$PWD/$lab" down 2>>.lab/test.log
    done
}

# The lab is prepared while the fast tests run; its own tests then find most of it done.
begin_lab() {
    install_test_packages
    install_lab_packages
    mkdir -p .lab
    trap end_labs EXIT
    say "preparing the lab for tests in the background: .lab/test.log"
    python -m lab --state "$PWD/.lab/test" reset >.lab/test.log 2>&1 &
    making_lab=$!
}

wait_for_lab() {
    say "waiting for the lab"
    wait "$making_lab" || {
        cat .lab/test.log >&2
        fail "the lab could not be prepared" "see its messages above"
    }
}

run_tests() {
    local scripts
    mapfile -t scripts < <(
        find . \( -name .git -o -name .venv -o -name .lab \) -prune -o -type f -size +0 -exec awk \
            'FNR == 1 { if (/^#!\/(usr\/)?bin\/(env )?(ba|da)?sh$/) print FILENAME; nextfile }' {} + | sort
    )
    step ruff check
    step ruff format --check
    step mypy
    step shellcheck -x "${scripts[@]}"
    begin_lab
    # On Debian, depmod, nft and ufw are only in root's PATH.
    TEST_PROGRAMS=required PATH="$PATH:/usr/sbin:/sbin" step pytest -q tests/unit tests/fixtures
    step pytest -q tests/page
    wait_for_lab
    run_lab_tests
}

# If 12 GB are free, the lab's tests run on two machines: one is provisioned while the other runs the
# tests that begin with a bare machine.
run_lab_tests() {
    local pytest=(pytest -v --durations=20) memory bare failed=0
    memory="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)"
    if [ "$memory" -lt 12000000 ]; then
        step "${pytest[@]}" -m "not long" tests/lab
        return
    fi
    say "tests that begin with a bare machine run on their own machine: .lab/test-2.log"
    TEST_LAB=test-2 "${pytest[@]}" -m "not long and bare" tests/lab >.lab/test-2.log 2>&1 &
    bare=$!
    step "${pytest[@]}" -m "not long and not bare" tests/lab || failed=1
    say "waiting for the tests that begin with a bare machine"
    wait "$bare" || failed=1
    cat .lab/test-2.log
    return "$failed"
}

run_tests
