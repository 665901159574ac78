"""The mirror's HTTP server: files, faults, registry, git and npm, queried like real clients do."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import mirror
from lab.upstream import files, git, images, layers, npm


@dataclass
class Answer:
    """An answer: status, headers with lower-case names, and the bytes before any reset."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """Queries the server at ``port`` that serves ``root``."""

    root: Path
    port: int
    host: str = field(default="mirror")

    def get(self, path: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", self.host)
            connection.endheaders()
            answer = connection.getresponse()
            try:
                body = answer.read()
            except http.client.IncompleteRead as error:
                body = error.partial
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, body)
        finally:
            connection.close()

    def fault(self, prefix: str, **values: object) -> None:
        (self.root / "faults.json").write_text(json.dumps({prefix: values}))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with mirror.serve(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Client(tmp_path, server.server_port)
        server.shutdown()
        thread.join()


@pytest.fixture
def file(client: Client) -> bytes:
    content = bytes(range(256)) * 4096
    files.write(client.root / "http" / "example.org" / "dir" / "a b.tar.zst", content)
    return content


FILE = "/example.org/dir/a%20b.tar.zst"


def test_a_file_is_served_under_its_upstream_host(client: Client, file: bytes) -> None:
    answer = client.get(FILE)
    assert (answer.status, answer.body) == (200, file)
    assert answer.headers["content-length"] == str(len(file))


def test_head_gives_the_length_and_no_body(client: Client, file: bytes) -> None:
    answer = client.get(FILE, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(file))


@pytest.mark.parametrize(
    "path",
    [
        "/example.org/none",
        "/../faults.json",
        "/%2e%2e/faults.json",
        "/v2/../x/manifests/1",
        "/pypi/",
    ],
)
def test_what_is_not_in_the_tree_is_not_found(client: Client, file: bytes, path: str) -> None:
    client.fault("/nothing", status=500)
    assert client.get(path).status == 404


def test_a_status_fault_replaces_the_answer(client: Client, file: bytes) -> None:
    client.fault("/example.org", status=503)
    assert client.get(FILE).status == 503


def test_a_truncated_answer_announces_its_full_length(client: Client, file: bytes) -> None:
    client.fault("/example.org/dir", truncate=1000)
    answer = client.get(FILE)
    assert answer.headers["content-length"] == str(len(file))
    assert answer.body == file[:1000]


def test_a_tampered_answer_differs_in_one_bit(client: Client, file: bytes) -> None:
    client.fault(FILE.replace("%20", " "), tamper=True)
    body = client.get(FILE).body
    differing = [index for index, byte in enumerate(body) if byte != file[index]]
    assert len(body) == len(file)
    assert differing == [len(file) // 2]


def test_a_delayed_answer_comes_late(client: Client, file: bytes) -> None:
    client.fault("/", delay=0.3)
    started = time.monotonic()
    assert client.get(FILE).body == file
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("path", ["/", "/v2/", "/pypi/simple/", "/npm/"])
def test_every_service_answers_at_its_root(client: Client, path: str) -> None:
    assert client.get(path).status == client.get(path, "HEAD").status == 200


def test_a_fault_finds_a_path_with_a_dot_in_it(client: Client, file: bytes) -> None:
    client.fault("/example.org/dir/a b", status=503)
    assert client.get("/example.org/dir/./a%20b.tar.zst").status == 503


def test_faults_end_with_their_file(client: Client, file: bytes) -> None:
    client.fault("/", status=503)
    assert client.get(FILE).status == 503
    (client.root / "faults.json").unlink()
    assert client.get(FILE).status == 200


def test_every_request_is_logged_in_one_line(
    client: Client, file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    client.get(FILE)
    client.get("/none")
    text = ""
    while text.count("\n") < 2:  # written after the answer was sent
        text += capsys.readouterr().out
    lines = [line.split()[:3] for line in text.splitlines()]
    assert lines == [["GET", FILE, "200"], ["GET", "/none", "404"]]


@pytest.fixture
def image(client: Client) -> str:
    """Store an image of one layer; return its digest."""
    tar = files.Tar()
    tar.file("etc/lab", "text")
    layer = layers.from_files("test", client.root / "cache", tar)
    return images.store(
        client.root / "registry", "docker.io/x/y", "1.0", images.Image([layer], {"Cmd": ["sh"]})
    )


def test_an_image_is_pulled_by_tag_and_by_digest(client: Client, image: str) -> None:
    by_tag = client.get("/v2/docker.io/x/y/manifests/1.0")
    by_digest = client.get(f"/v2/docker.io/x/y/manifests/{image}")
    assert by_tag.body == by_digest.body
    assert by_tag.headers["docker-content-digest"] == image
    assert by_tag.headers["content-type"] == images.MANIFEST
    assert f"sha256:{hashlib.sha256(by_tag.body).hexdigest()}" == image


def test_every_blob_of_an_image_has_the_digest_it_is_named_by(client: Client, image: str) -> None:
    manifest = json.loads(client.get("/v2/docker.io/x/y/manifests/1.0").body)
    for blob in [manifest["config"], *manifest["layers"]]:
        body = client.get(f"/v2/docker.io/x/y/blobs/{blob['digest']}").body
        assert f"sha256:{hashlib.sha256(body).hexdigest()}" == blob["digest"]
        assert len(body) == blob["size"]


def test_the_configuration_names_the_uncompressed_layers(client: Client, image: str) -> None:
    manifest = json.loads(client.get("/v2/docker.io/x/y/manifests/1.0").body)
    config = json.loads(client.get(f"/v2/docker.io/x/y/blobs/{manifest['config']['digest']}").body)
    packed = client.get(f"/v2/docker.io/x/y/blobs/{manifest['layers'][0]['digest']}").body
    plain = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    assert config["config"]["Cmd"] == ["sh"]


def test_a_registry_that_lacks_an_image_says_so_as_registries_do(client: Client) -> None:
    answer = client.get("/v2/docker.io/x/y/manifests/2.0")
    assert answer.status == 404
    assert json.loads(answer.body)["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    assert client.get("/v2/").headers["docker-distribution-api-version"] == "registry/2.0"


def fetched(folder: Path, port: int, path: str, commit: str, protocol: int) -> str:
    """Fetch one commit into an empty repository; return the commit that it then contains."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_DIR": str(folder)}

    def run(*words: str) -> str:
        return subprocess.run(
            ["git", *words], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    run("init", "--quiet", "--bare")
    url = f"http://127.0.0.1:{port}/{path}"
    run("-c", f"protocol.version={protocol}", "fetch", "--quiet", "--depth=1", url, commit)
    return run("rev-parse", "FETCH_HEAD")


@pytest.mark.parametrize("protocol", [0, 2])
def test_git_gives_any_commit_by_its_id(client: Client, tmp_path: Path, protocol: int) -> None:
    newest, older = git.build(client.root, {"forge_assets": {}}, {})
    path = "github.com/AUTOMATIC1111/stable-diffusion-webui-assets.git"
    for number, pins in enumerate((newest, older)):
        folder = tmp_path / f"clone{number}"
        commit = pins["forge_assets"]["commit"]
        assert fetched(folder, client.port, path, commit, protocol) == commit


def test_the_same_content_gives_the_same_commits(tmp_path: Path) -> None:
    assert git.build(tmp_path / "a", {}, {}) == git.build(tmp_path / "b", {}, {})


def test_npm_documents_point_to_the_host_that_was_asked(client: Client) -> None:
    packages = npm.build(client.root)
    client.host = "192.168.0.5"
    document = json.loads(client.get("/npm/@prisma%2fclient").body)
    version = document["versions"][document["dist-tags"]["latest"]]
    url = version["dist"]["tarball"]
    assert url.startswith("http://192.168.0.5/npm/@prisma/client/-/")
    body = client.get(url.removeprefix("http://192.168.0.5")).body
    assert hashlib.sha1(body).hexdigest() == version["dist"]["shasum"]
    assert packages["@prisma/client"]["integrity"] == version["dist"]["integrity"]
    assert client.get("/npm/react").status == 404
