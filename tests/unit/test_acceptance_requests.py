"""Requests to services, with the real curl and a server that routes by name like a proxy does."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.acceptance_stacks import LABELS, container, made_up, one, probes, run
from workstation.acceptance import LIMIT, Answer, services
from workstation.findings import Finding


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    login = base64.b64encode(b"anna:geheim").decode()
    origins = ("http://painter.example",)

    def do_GET(self) -> None:
        own = self.headers.get("Origin", "http://painter.example") in self.origins
        if self.headers["Host"].partition(":")[0] != "painter.example" or not own:
            return self.answer(404, b"404 page not found")
        if self.login and self.headers["Authorization"] != f"Basic {self.login}":
            return self.answer(401, b"401 Unauthorized")
        if self.path == "/ws" and self.headers["Upgrade"] == "websocket":
            key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accepted = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_response(101)
            for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
                self.send_header(name, value)
            self.send_header("Sec-WebSocket-Accept", accepted)
            self.end_headers()
            self.wfile.write(b"\x81\x05hello")
            self.close_connection = True
            return None
        if self.path == "/moved":
            return self.answer(302, b"")
        if self.path == "/api/config":
            return self.answer(200, b'{"onboarding": true, "status": true}')
        if self.path == "/broken":
            return self.answer(502, b"Bad Gateway \x00\xff" + b"x" * 100_000)
        return self.answer(200, b"well")

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def _answer(done: subprocess.CompletedProcess[str]) -> Answer:
    return Answer(done.returncode == 0, done.stdout, done.returncode)


def request(tmp_path: Path, port: int, **own: Any) -> dict[str, Finding]:
    """Query a service at this port; return its findings by their claims."""
    stack = made_up(p={"image": "p:1", "labels": LABELS, "x-workstation": own})
    found = probes(stack, proxy_http_port=port)
    result = {}
    for name, probe in found.items():
        done = run(probe, tmp_path, *probe.arguments)
        assert done.stderr == ""
        result[name.removeprefix("s/p ")] = one(probe.findings(_answer(done)))
    return result


@pytest.mark.parametrize(
    ("path", "ok", "detail", "told"),
    [
        ("/", True, "HTTP 200", "well"),
        ("/moved", True, "HTTP 302", "302 Found"),
        ("/broken", False, "HTTP 502", "Bad Gateway"),
    ],
)
def test_a_route_is_asked_by_its_host_header(
    tmp_path: Path, proxy: int, path: str, ok: bool, detail: str, told: str
):
    """The printable part of the answer is the evidence."""
    finding = request(tmp_path, proxy, probe=path)["answers on painter.example"]
    assert (finding.ok, finding.detail) == (ok, detail)
    assert told in finding.evidence
    assert len(finding.evidence) < LIMIT
    assert f"http://127.0.0.1:{proxy}{path}" in finding.evidence


def test_a_route_without_a_login_is_a_failure(
    tmp_path: Path, proxy: int, monkeypatch: pytest.MonkeyPatch
):
    """And so is one that lets in pages of other origins; the password reaches no process list."""
    name = "asks for a login and refuses pages of other origins"
    found = request(tmp_path, proxy)[name]
    assert (found.ok, found.detail) == (True, "HTTP 401 without a login")
    assert "HTTP 404 for a page of another origin" in found.evidence
    assert "geheim" not in found.evidence
    with monkeypatch.context() as changed:
        changed.setattr(Proxy, "origins", (*Proxy.origins, "http://elsewhere.example"))
        found = request(tmp_path, proxy)[name]
        assert not found.ok
        assert "HTTP 200 for a page of another origin" in found.evidence
    monkeypatch.setattr(Proxy, "login", "")
    found = request(tmp_path, proxy)[name]
    assert (found.ok, found.detail) == (False, "HTTP 200 without a login")


@pytest.mark.parametrize(
    ("path", "shows", "ok", "detail"),
    [
        ("/api/config", '"onboarding":true', False, "its set-up page is open: the answer contains"),
        ("/api/config", '"onboarding":  true', False, "its set-up page is open"),
        ("/api/config", '"onboarding":false', True, "its set-up page is closed"),
        ("/", "onboarding", True, "its set-up page is closed"),
        ("/broken", "onboarding", False, "curl: (22)"),
    ],
)
def test_a_set_up_page_that_is_open_is_a_failure(
    tmp_path: Path, proxy: int, path: str, shows: str, ok: bool, detail: str
):
    """Whoever came first would be administrator. So is an answer that says nothing about it."""
    finding = request(tmp_path, proxy, setup={"path": path, "shows": shows})["has an administrator"]
    assert finding.ok is ok
    assert finding.detail.startswith(detail)


def test_a_name_that_the_proxy_does_not_know_is_a_failure(tmp_path: Path, proxy: int):
    labels = {**LABELS, "traefik.http.routers.p.rule": "Host(`unknown.example`)"}
    found = probes(made_up(p={"image": "p:1", "labels": labels}), proxy_http_port=proxy)
    probe = found["s/p answers on unknown.example"]
    done = run(probe, tmp_path, *probe.arguments)
    assert done.returncode == 1
    assert done.stdout.startswith("HTTP 404\n")
    assert "404 page not found" in done.stdout


def test_nobody_listening_is_told_in_curls_words(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        finding = request(tmp_path, free.getsockname()[1])["answers on painter.example"]
    assert not finding.ok
    assert finding.detail.startswith("curl: (7) Failed to connect to 127.0.0.1")


def test_an_upgrade_to_a_websocket_is_seen(tmp_path: Path, proxy: int):
    finding = request(tmp_path, proxy, websocket="/ws")["takes websockets"]
    assert (finding.ok, finding.detail) == (True, "HTTP 101")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in finding.evidence
    assert "timed out" not in finding.evidence


def test_a_websocket_is_not_waited_for_when_it_has_begun(tmp_path: Path, proxy: int):
    """Its frames may never come."""
    begun = time.monotonic()
    assert request(tmp_path, proxy, websocket="/ws")["takes websockets"].ok
    assert time.monotonic() - begun < 3


def test_a_firewall_that_keeps_a_container_from_ollama_is_named(tmp_path: Path):
    """With table and chain, before the message of the container's own client."""
    services = {"p": {"image": "p:1", "extra_hosts": ["host.docker.internal:host-gateway"]}}
    found = probes(made_up(**services), container("p"))["s/p reaches Ollama"]
    chain = r"chain input {\n  type filter hook input priority 0; policy drop;\n"
    rules = rf"table inet mine {{\n {chain}"
    stands = {"docker": "echo 'curl: (28) Connection timed out'; exit 28", "ufw": "exit 1"}
    for nft, seen in (
        (f"printf '{rules} }}\\n}}\\n'", "table inet mine, chain input, drops traffic from"),
        ("exit 1", "curl: (28) Connection timed out"),
    ):
        done = run(found, tmp_path, *found.arguments, nft=nft, iptables_legacy="exit 1", **stands)
        assert done.returncode == 28
        assert done.stdout.startswith(seen)
        assert "curl: (28) Connection timed out" in done.stdout


def test_an_answer_without_an_upgrade_is_none(tmp_path: Path, proxy: int):
    """A proxy that buffers answers 200."""
    finding = request(tmp_path, proxy, websocket="/other")["takes websockets"]
    assert (finding.ok, finding.detail) == (False, "HTTP 200")


def test_a_proxy_with_certificates_is_asked_for_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Through SNI and in the request, whether or not the certificate is valid."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=other.example", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: names.append(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    # Replaces port 443, which a test cannot use.
    monkeypatch.setattr(services, "proxy_entrance", lambda settings: ("https", port))
    found = probes(
        made_up(p={"image": "p:1", "labels": LABELS}),
        proxy="existing",
        proxy_certresolver="le",
    )
    (login, probe) = found.values()
    (finding,) = login.findings(_answer(run(login, tmp_path, *login.arguments)))
    assert (finding.ok, finding.note, finding.detail) == (True, False, "HTTP 401 without a login")
    names.clear()
    monkeypatch.setattr(Proxy, "login", "")
    (finding,) = login.findings(_answer(run(login, tmp_path, *login.arguments)))
    assert (finding.ok, finding.note, finding.detail) == (True, True, "HTTP 200 without a login")
    names.clear()
    done = run(probe, tmp_path, *probe.arguments)
    server.shutdown()
    assert done.stdout.startswith("HTTP 200\n")
    assert names == ["painter.example"]
