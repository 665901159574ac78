"""What a neighbor on the LAN gets from our own proxy, with and without a login, by HTTP and HTTPS
with an authority of the machine's own."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.browser import ATTACK, SOCKET, Browser, Elsewhere
from tests.browser import browser as browser
from tests.fixtures.traefik import serve
from tests.lab.conftest import CURL, LOGIN, Workstation
from tests.lab.test_lan import _NEIGHBOUR, LAN

pytestmark = pytest.mark.long

SERVICES = ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit", "dockge")
AUTHORITY = "/etc/ai-workstation/tls/ca.crt"
INTERNAL = {"TLS": "internal"}


def _asked(machine: Workstation, address: str, name: str, *options: str, curl: str = CURL) -> str:
    """Return the status of the neighbor's request, and where it is sent instead."""
    words = [curl, "-s -o /dev/null -w '%{http_code} %{redirect_url}' --max-time 100", *options]
    return machine.run(
        f"ip netns exec neighbour {' '.join(words)} -H 'Host: {name}.localhost' {address}",
        check=False,
    ).strip()


def test_a_neighbor_needs_the_login_and_pages_elsewhere_have_none(converged: Workstation) -> None:
    """For every service, by every method; the programs never see the password."""
    converged.run(_NEIGHBOUR)
    address = f"http://{LAN[0]}/"
    for name in SERVICES:
        assert _asked(converged, address, name, curl="curl") == "401"
        assert _asked(converged, address, name, "-X POST", curl="curl") == "401"
        assert _asked(converged, address, name) == "200"
        page = "-H 'Origin: http://elsewhere.example'"
        assert _asked(converged, address, name, "-X POST", page) == "404"
    assert _asked(converged, address, "nobody") == "404"
    mode = converged.run("stat -c '%a %U' /opt/stacks/proxy/routes/middlewares.yml")
    assert mode == "600 root\n"


def test_a_page_elsewhere_drives_no_program_in_a_browser(
    converged: Workstation, browser: Browser
) -> None:
    """A person has logged in to each program in it; then a page of another origin sends what the
    browser lets it send."""
    driver, port = browser.driver, converged.lab.machine.port(80)
    driver.set_page_load_timeout(200)
    driver.set_script_timeout(200)
    hosts = {name: f"{name}.localhost:{port}" for name in SERVICES}
    user, password = map(quote, LOGIN)
    for host in hosts.values():
        driver.get(f"http://{user}:{password}@{host}/")
        # A page whose address contains a password may not send requests.
        driver.get(f"http://{host}/")
        browser.script("return fetch('/own-page', {method: 'POST'}).then(one => one.status)")
    page = serve(Elsewhere)
    try:
        driver.get(f"http://elsewhere.localhost:{page.server_port}/")
        for host in hosts.values():
            driver.execute_async_script(ATTACK, host)
            assert driver.execute_async_script(SOCKET, f"ws://{host}/ws") == "refused"
    finally:
        page.shutdown()
    for name in SERVICES:
        seen = converged.run(f"docker logs dhoch3-{name}-1 2>&1")
        assert "POST /own-page" in seen, name
        assert "POST /prompt" not in seen, name
        assert "POST /form" not in seen, name


def test_https_with_an_authority_of_the_machines_own(converged: Workstation) -> None:
    """Plain HTTP leads there, a second run changes nothing, a renewal needs no restart, and TLS=off
    goes back."""
    converged.run(_NEIGHBOUR)
    run = converged.pyinfra("deploy.py", "-y", "--json", environment=INTERNAL)
    assert run.status == 0, run.error
    before = converged.containers()
    named = f"--cacert {AUTHORITY} --resolve comfyui.localhost:443:{LAN[0]}"
    address = "https://comfyui.localhost/"
    assert _asked(converged, address, "comfyui", named) == "200"
    assert _asked(converged, address, "comfyui", named, curl="curl") == "401"
    moved = _asked(converged, f"http://{LAN[0]}/x", "comfyui")
    assert moved == "302 https://comfyui.localhost/x"
    again = converged.pyinfra("deploy.py", "-y", "--json", environment=INTERNAL)
    assert again.status == 0, again.error
    assert again.changed == []

    serial = f"openssl x509 -noout -serial -in {AUTHORITY.replace('ca.crt', 'certificate.pem')}"
    old = converged.run(serial)
    converged.run("echo other >/etc/ai-workstation/tls/names")
    converged.run("systemctl start ai-workstation-tls.service")
    assert converged.run(serial) != old
    shown = (
        f"openssl s_client -connect {LAN[0]}:443 -servername comfyui.localhost </dev/null 2>&1"
        " | openssl x509 -noout -serial"
    )
    new = converged.run(serial).strip()
    converged.run(f'timeout 60 sh -c \'until [ "$({shown})" = "{new}" ]; do sleep 1; done\'')
    assert converged.containers() == before

    back = converged.pyinfra("deploy.py", "-y", "--json")
    assert back.status == 0, back.error
    assert _asked(converged, f"http://{LAN[0]}/", "comfyui") == "200"
    converged.run("systemctl start ai-workstation-tls.service")
    assert "certFile" not in converged.run("cat /opt/stacks/proxy/routes/tls.yml")
