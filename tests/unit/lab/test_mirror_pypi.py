"""The mirror's Python index and its stand-in wheels."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lab.upstream import pypi


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an index folder that offers three packages."""
    pins = {"torch": ["2.7.1", "2.8.0"], "pillow": ["11.3.0"], "accelerate": ["1.6.0"]}
    folder = tmp_path / "pypi"
    folder.mkdir()
    (folder / "pins.json").write_text(json.dumps(pins))
    return folder


def test_pins_are_read_from_locks_requirements_and_dockerfiles(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# six==9\nPyYAML==6.0.3 \\\n    --hash=sha256:00\ndiffusers[torch]==0.32.1\n")
    requirements = tmp_path / "requirements_versions.txt"
    requirements.write_text(
        "torch\nscipy>=1.13\ngit+https://x/y.git\nopen_clip-torch==2.20.0\n-e .\n"
    )
    dockerfile = tmp_path / "Dockerfile.j2"
    dockerfile.write_text("RUN uv pip install torch==2.9.1 ruff\n")
    found = pypi.collect([lock, requirements, dockerfile])
    assert found["pyyaml"] == ["6.0.3"]
    assert found["diffusers"] == ["0.32.1"]
    assert found["open-clip-torch"] == ["2.20.0"]
    assert found["torch"] == ["2.8.0", "2.9.1"]
    assert found["scipy"] == [pypi.UNPINNED]
    assert not {"six", "git", "ruff"} & set(found)


def test_a_page_offers_exactly_the_pinned_versions(folder: Path) -> None:
    page = pypi.index(folder, "Torch")
    assert re.findall(r">(torch-[^<]+)<", page) == [
        "torch-2.7.1-py3-none-any.whl",
        "torch-2.8.0-py3-none-any.whl",
    ]
    assert pypi.index(folder, "requests") == ""


def test_a_link_carries_the_hash_of_the_wheel(folder: Path) -> None:
    (name, digest), *_ = re.findall(
        r"/pypi/files/([^#]+)#sha256=(\w+)", pypi.index(folder, "pillow")
    )
    content = pypi.file(folder, name)
    assert isinstance(content, bytes)
    assert hashlib.sha256(content).hexdigest() == digest


def test_metadata_is_offered_beside_the_wheel(folder: Path) -> None:
    page = pypi.index(folder, "pillow")
    digest = re.findall(r'data-core-metadata="sha256=(\w+)"', page)[0]
    metadata = pypi.file(folder, "pillow-11.3.0-py3-none-any.whl.metadata")
    assert isinstance(metadata, bytes)
    assert hashlib.sha256(metadata).hexdigest() == digest


@pytest.mark.parametrize(
    "name", ["torch-2.6.0-py3-none-any.whl", "../pins.json", "pins.json", "torch.whl"]
)
def test_other_files_are_not_given(folder: Path, name: str) -> None:
    assert pypi.file(folder, name) is None


def test_a_record_holds_the_hash_of_every_file() -> None:
    with zipfile.ZipFile(io.BytesIO(pypi.wheel("accelerate", "1.6.0"))) as archive:
        names = archive.namelist()
        record = archive.read("accelerate-1.6.0.dist-info/RECORD").decode()
        for line in record.splitlines():
            name, digest, size = line.split(",")
            if digest:
                data = archive.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
                assert digest == f"sha256={expected.decode()}"
                assert size == str(len(data))
    assert sorted(names) == sorted(line.split(",")[0] for line in record.splitlines())


def test_wheels_are_the_same_bytes_every_time() -> None:
    first = pypi.wheel("numpy", "1.26.4")
    pypi.wheel.cache_clear()
    assert pypi.wheel("numpy", "1.26.4") == first


def unpacked(target: Path, **packages: str) -> Path:
    """Unpack stand-in wheels, given as name=version, like an installer does."""
    for name, version in packages.items():
        with zipfile.ZipFile(io.BytesIO(pypi.wheel(name, version))) as archive:
            archive.extractall(target)
    return target


def test_a_package_is_imported_by_the_name_programs_use(tmp_path: Path) -> None:
    site = unpacked(tmp_path, pillow="11.3.0")
    code = "import PIL; print(PIL.__version__)"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, check=True
    )
    assert result.stdout == b"11.3.0\n"


@pytest.mark.parametrize(("version", "blackwell"), [("2.7.1", False), ("2.8.0", True)])
def test_torch_knows_blackwell_from_its_version_on(
    tmp_path: Path, version: str, blackwell: bool
) -> None:
    site = unpacked(tmp_path, torch=version)
    code = "import torch; print(torch.cuda.is_available(), torch.cuda.get_arch_list())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(site), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("False")
    assert ("sm_120" in result.stdout) is blackwell


def test_an_index_of_files_alone_has_its_own_address(tmp_path: Path) -> None:
    """It has both sources and wheels; nothing is generated there."""
    files = tmp_path / "real/files"
    files.mkdir(parents=True)
    (files / "some_name-1.0.tar.gz").write_bytes(b"source")
    (files / "numpy-2.3.5-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"wheel")
    page = pypi.index(tmp_path / "real", "Some-Name")
    digest = hashlib.sha256(b"source").hexdigest()
    assert f'href="/real/files/some_name-1.0.tar.gz#sha256={digest}"' in page
    assert pypi.file(tmp_path / "real", "some_name-1.0.tar.gz") == files / "some_name-1.0.tar.gz"
    assert pypi.index(tmp_path / "real", "torch") == ""
    assert 'href="/real/simple/numpy/"' in pypi.index(tmp_path / "real", "")
