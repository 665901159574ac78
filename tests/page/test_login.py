"""The login of our own proxy in a real browser: people get in once, pages of others do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import ATTACK, SOCKET, Browser, Elsewhere
from tests.fixtures.traefik import ASKED, Program, running, serve, service_of
from tests.unit.acceptance_stacks import configured

USER, PASSWORD = "anna", "lab-$-pass-word"

_UPLOAD = """
const done = arguments[0];
const form = new FormData();
form.append("image", new Blob([new Uint8Array(20e6)]), "large.png");
fetch("/upload", {method: "POST", body: form}).then(one => one.json()).then(one => done(one.bytes));
"""
_TOKEN = """
const [path, done] = arguments;
fetch(path, {headers: {Authorization: "Bearer its-own"}}).then(
  one => one.json()).then(told => done(told.headers.authorization));
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Traefik with a service that asks for a password, and one that does not."""
    program = serve(Program)
    settings = configured(login_user=USER, login_password=PASSWORD, login_services={"free": "none"})
    folder = tmp_path_factory.mktemp("traefik")
    services = [
        service_of("web", program.server_port, open="PathPrefix(`/api/`)"),
        service_of("free", program.server_port),
    ]
    with running(folder, settings, *services) as port:
        yield port
    program.shutdown()


def test_a_login_lasts_and_pages_of_others_cannot_use_it(proxy: int, browser: Browser):
    """Pages, requests of their scripts and websockets work after one login. Another page in the
    same browser cannot send anything, not even blindly."""
    driver, host = browser.driver, f"web.localhost:{proxy}"
    driver.set_script_timeout(60)
    driver.get(f"http://{host}/")
    assert "headers" not in driver.page_source
    driver.get(f"http://{USER}:{PASSWORD}@{host}/")
    assert "headers" in driver.page_source
    assert "authorization" not in driver.page_source
    driver.get(f"http://{host}/again")
    assert "/again" in driver.page_source
    asked = browser.script("return fetch('/script', {method: 'POST'}).then(one => one.status)")
    assert asked == 200
    assert driver.execute_async_script(SOCKET, f"ws://{host}/ws") == "open"
    assert ("POST", "/script") in ASKED
    assert driver.execute_async_script(_UPLOAD) > 20e6
    # A program's own token takes the place of the login, so it passes only where that is open.
    assert driver.execute_async_script(_TOKEN, "/api/jobs") == "Bearer its-own"

    other = serve(Elsewhere)
    try:
        driver.get(f"http://elsewhere.localhost:{other.server_port}/")
        ASKED.clear()
        # Chromium keeps a login to itself where another page asks; without a login, only the
        # proxy stands between.
        for target in (host, f"free.localhost:{proxy}"):
            driver.execute_async_script(ATTACK, target)
            assert driver.execute_async_script(SOCKET, f"ws://{target}/ws") == "refused"
        assert ASKED == []
    finally:
        other.shutdown()
