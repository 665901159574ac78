"""The output of the mirror's builders: layers, the apt repository, Ollama's releases."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from lab import upstream
from lab.upstream import apt, files, imagen, images, knowledge, layers, ollama


def tar_of(path: Path, **members: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(f"./{name.replace('__', '/')}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_a_tar_depends_on_its_content_alone(tmp_path: Path) -> None:
    for number, names in enumerate(("ab", "ba")):
        tar = files.Tar()
        for name in names:
            tar.file(f"x/{name}", name)
        tar.write(tmp_path / f"{number}.tar")
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()


def test_a_difference_holds_what_is_new_or_changed(tmp_path: Path) -> None:
    lower = tar_of(tmp_path / "a.tar", etc__a="1", etc__b="1", usr__share__doc__x="1")
    upper = tar_of(tmp_path / "b.tar", etc__a="1", etc__b="2", etc__c="3", usr__share__doc__y="1")
    target = tmp_path / "c.tar"
    layers.difference(lower, upper, target, lambda _: None, lambda _, data: data + b"!")
    with tarfile.open(target) as tar:
        found = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar}
    assert found == {"etc/b": b"2!", "etc/c": b"3!"}


def test_a_failed_download_leaves_nothing_behind(tmp_path: Path) -> None:
    def half(target: Path) -> None:
        target.write_text("half")
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        files.cached(tmp_path / "file", half)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Build the apt repository once; return its folder below http/ and the overlay."""
    root = tmp_path_factory.mktemp("apt")
    overlay = apt.build(root / "root", root / "cache", {"version": "1.20.0-1"})
    return root / "root" / "http" / "nvidia.github.io" / "libnvidia-container", overlay


def verified(home: Path, key: Path, *arguments: str) -> str:
    """Verify with a keyring that contains one key; return gpg's status lines."""
    ring = home / "ring.gpg"
    subprocess.run(["gpg", "--batch", "--yes", "--dearmor", "-o", str(ring), str(key)], check=True)
    command = ["gpgv", "--status-fd", "1", "--keyring", str(ring), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_repository_is_signed_by_the_key_it_serves(
    repository: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, overlay = repository
    flat = folder / "stable/deb/amd64"
    for arguments in (
        [str(flat / "InRelease")],
        [str(flat / "Release.gpg"), str(flat / "Release")],
    ):
        status = verified(tmp_path, folder / "gpgkey", *arguments)
        assert f"VALIDSIG {overlay['fingerprint']}" in status


def test_apt_offers_both_versions_of_the_four_packages(
    repository: tuple[Path, dict[str, str]],
) -> None:
    text = (repository[0] / "stable/deb/amd64/Packages").read_text()
    stanzas = [dict(yaml.safe_load(part)) for part in text.strip().split("\n\n")]
    assert {(s["Package"], s["Version"]) for s in stanzas} == {
        (name, version)
        for name in (
            "nvidia-container-toolkit",
            "nvidia-container-toolkit-base",
            "libnvidia-container-tools",
            "libnvidia-container1",
        )
        for version in ("1.20.0-1", "1.20.1-1")
    }
    for stanza in stanzas:
        file = repository[0] / "stable/deb/amd64" / stanza["Filename"]
        assert files.sha256_file(file) == stanza["SHA256"]


def test_the_key_is_kept_between_builds(tmp_path: Path) -> None:
    first = apt.build(tmp_path / "a", tmp_path / "cache", {})
    assert apt.build(tmp_path / "b", tmp_path / "cache", {}) == first


def test_ollamas_archive_has_the_layout_and_checksum_of_a_release(tmp_path: Path) -> None:
    newest, older = ollama.build(tmp_path / "root", tmp_path / "cache", {"version": "0.32.15"})
    base = tmp_path / "root/http/github.com/ollama/ollama/releases/download"
    for release in (newest, older):
        archive = base / f"v{release['version']}" / "ollama-linux-amd64.tar.zst"
        assert files.sha256_file(archive) == release["sha256"]
        assert release["sha256"] in (archive.parent / "sha256sum.txt").read_text()
    names = subprocess.run(
        ["tar", "--zstd", "-tf", str(archive)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"bin/ollama", "lib/ollama/cuda_v12/libggml-cuda.so"} <= set(names)


def test_the_images_carry_the_names_that_are_pinned() -> None:
    pins = yaml.safe_load((Path(upstream.__file__).parents[2] / "pins.yml").read_text())
    # Attestations need another image store; only the tests of some stacks add their images.
    for key in {"sbom_scanner", "trellis_nim", *knowledge.IMAGES, *imagen.IMAGES}:
        del pins["images"][key]
    assert set(pins["images"]) <= set(images.DEFAULTS)
    for key, image in pins["images"].items():
        assert image["name"] == images.DEFAULTS[key][0]


def test_every_part_of_the_mirror_tells_its_stand_ins() -> None:
    text = "\n".join(upstream.stand_ins())
    for name in ("ComfyUI", "InvokeAI", "Dockge", "Fooocus", "Forge", "FluxGym", "AI-Toolkit"):
        assert name in text
    for name in ("comfy (", "openwebui ("):
        assert name in text
    for name in ("Ollama", "NVIDIA Container Toolkit", "torch", "prisma", "python:3.11"):
        assert name in text
