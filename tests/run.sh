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
    ufw iptables systemd haproxy kmod e2fsprogs util-linux gcc libc6-dev binutils nodejs openssl
    chromium chromium-driver fonts-dejavu-core libpython3-dev python3-numpy
    pebble
)

LAB_TESTS=(pytest -v --durations=20)

# ufw is installed disabled, unless settings remain from an earlier installation that was enabled.
install_test_packages() {
    local settings=/etc/ufw/ufw.conf
    if [ -n "$(missing ufw)" ] && grep -qiE '^ENABLED="?yes' "$settings" 2>/dev/null; then
        fail "ufw, which the tests need, would be enabled right away by $settings from an earlier installation" \
            "apt-get purge ufw, or set ENABLED=no in $settings"
    fi
    [ -z "$(missing haproxy)" ] || install_silent haproxy.service haproxy
    [ -z "$(missing knot)" ] || install_silent knot.service knot
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

# The lab is prepared while the fast tests run. If 12 GB are free, its tests then run on two machines,
# the first of them at once: it is provisioned meanwhile, which takes longest. The tests that begin
# with a bare machine run on the second, after the fast tests.
begin_lab() {
    local memory
    install_test_packages
    install_lab_packages
    mkdir -p .lab
    trap end_labs EXIT
    memory="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)"
    two_machines="$([ "$memory" -lt 12000000 ] || echo yes)"
    say "the lab, in the background: .lab/test.log"
    if [ -n "$two_machines" ]; then
        "${LAB_TESTS[@]}" -m "not long and not bare" tests/lab >.lab/test.log 2>&1 &
    else
        python -m lab --state "$PWD/.lab/test" reset >.lab/test.log 2>&1 &
    fi
    lab=$!
}

end_lab() {
    local failed=0
    say "waiting for the lab"
    wait "$lab" || failed=1
    cat .lab/test.log
    [ "$failed" = 0 ] || fail "the lab in the background failed" "see above"
}

run_lab_tests() {
    if [ -z "$two_machines" ]; then
        end_lab
        step "${LAB_TESTS[@]}" -m "not long" tests/lab
        return
    fi
    local failed=0
    TEST_LAB=test-2 step "${LAB_TESTS[@]}" -m "not long and bare" tests/lab || failed=1
    end_lab
    return "$failed"
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
    run_lab_tests
}

run_tests
