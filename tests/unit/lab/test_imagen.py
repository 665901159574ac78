"""The lab's parts for the stack imagen: images, indexes, weights, and what is not a network."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from lab.upstream import emulators, imagen, knowledge, pypi, triton
from lab.upstream.files import STANDINS
from tests.lab import tiny_weights

ROOT = Path(__file__).parents[3]
SOURCE = STANDINS / "imagen"
REPOSITORY = STANDINS / "repos/imagen/src"


def test_the_stacks_images_are_those_that_are_added():
    """Except for those that every lab has; Redis is that of knowledge-center."""
    known = yaml.safe_load((ROOT / "pins.yml").read_text())["images"]
    assert set(imagen.IMAGES) <= set(known)
    assert imagen.IMAGES["redis"] is knowledge.IMAGES["redis"]


def test_a_wheels_members_are_put_where_triton_looks_for_them():
    """Of all stubs only Python 3.11's; its libraries without those of another Python."""
    home = "opt/tritonserver"
    assert (
        triton._place("pytriton/tritonserver/bin/tritonserver") == f"{home}/bin/tritonserver-real"
    )
    backend = "backends/python/libtriton_python.so"
    assert triton._place(f"pytriton/tritonserver/{backend}") == f"{home}/{backend}"
    assert triton._place("nvidia_pytriton.libs/libz.so") == f"{home}/lib/libz.so"
    stubs = "pytriton/tritonserver/python_backend_stubs"
    assert triton._place(f"{stubs}/3.12/triton_python_backend_stub") is None
    here = triton._place(f"{stubs}/3.11/triton_python_backend_stub")
    assert here == f"{home}/backends/python/triton_python_backend_stub"
    for other in ("pytriton/client/client.py", "nvidia_pytriton.libs/libpython3-4.so", "pytriton/"):
        assert triton._place(other) is None


def test_empty_packages_are_offered_beside_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A version that is there as a real wheel has no stand-in, and another one of its name has."""
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==1.26.4\npillow==12.0.0\nspandrel==0.4.1\ntorch==2.8.0\n")
    monkeypatch.setattr(imagen, "TRITON_LOCK", lock)
    empty = imagen.empty_packages()
    assert empty["spandrel"] == ["0.4.1"]
    assert not {"numpy", "pillow"} & set(empty)
    folder = tmp_path / "real"
    (folder / "files").mkdir(parents=True)
    (folder / "pins.json").write_text(json.dumps(empty))
    # As in the list of another image.
    real = "spandrel-0.3.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    (folder / "files" / real).write_bytes(b"wheel")
    page = pypi.index(folder, "spandrel")
    assert re.findall(">(spandrel[^<]+)<", page) == [real, "spandrel-0.4.1-py3-none-any.whl"]
    (folder / "files/spandrel-0.4.1-cp311-cp311-linux_x86_64.whl").write_bytes(b"wheel")
    assert "py3-none-any" not in pypi.index(folder, "spandrel")


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("safetensors", "from safetensors.torch import load_file; assert load_file('x') == {}"),
        ("spandrel", "from spandrel import ImageModelDescriptor, ModelLoader"),
        ("torch", "import torch; assert torch.device('cuda', 1).index == 1"),
        ("torch", "import torch\nwith torch.inference_mode(): pass"),
    ],
)
def test_empty_packages_have_the_names_that_models_import(package: str, code: str, tmp_path: Path):
    """They are imported where our models are, and compute nothing."""
    with zipfile.ZipFile(io.BytesIO(pypi.wheel(package, "2.8.0"))) as archive:
        archive.extractall(tmp_path)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_nodes_packages_are_fixed_by_their_checksums():
    """The emulator is the one of package.json."""
    lock = json.loads((SOURCE / "firestore/package-lock.json").read_text())["packages"]
    wanted = json.loads((SOURCE / "firestore/package.json").read_text())["dependencies"]
    assert lock[""]["dependencies"] == wanted
    assert all(one["integrity"].startswith("sha512-") for name, one in lock.items() if name)
    assert all("==" in line for line in (SOURCE / "requirements.txt").read_text().splitlines()[2:])


def test_weights_have_the_forms_that_their_names_say():
    """A file of PyTorch, one of safetensors, a folder of diffusers; the same each time."""
    (name,) = files = tiny_weights.at("/models/store/a.pth")
    with zipfile.ZipFile(io.BytesIO(files[name])) as archive:
        assert archive.read("archive/data/0") == bytes(4096)
        assert b"torch._utils\n_rebuild_tensor_v2\n" in archive.read("archive/data.pkl")
    (content,) = tiny_weights.at("/b.safetensors").values()
    size = int.from_bytes(content[:8], "little")
    (start, end) = json.loads(content[8 : 8 + size])["weight"]["data_offsets"]
    assert (start, 8 + size + end) == (0, len(content))
    folder = tiny_weights.at("/c")
    index = json.loads(folder["/c/model_index.json"])
    assert all(any(f.startswith(f"/c/{part}/") for f in folder) for part in index if part[0] != "_")
    assert tiny_weights.at("/c") == folder


def swap(repository: Path, target: Path, *more: str) -> tuple[list[str], list[str]]:
    """Run the stand-in's change of Triton's arguments."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import tritonserver; "
        "from pathlib import Path; "
        "print(json.dumps(tritonserver.arguments(sys.argv[3:], Path(sys.argv[2]), Path('/m.py'))))"
    )
    given = [str(SOURCE / "triton"), str(target), f"--model-repository={repository}", *more]
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *given], capture_output=True, text=True, check=True
    )
    made, found = json.loads(done.stdout)
    return made, found


def test_triton_gets_our_configuration_with_other_models(tmp_path: Path):
    """All files are links to the given ones, so a change there is seen; a model that is none of
    the five is used as it is, and what is missing stays missing."""
    for name in ("upscale", "other"):
        (tmp_path / f"repository/{name}/1").mkdir(parents=True)
        (tmp_path / f"repository/{name}/config.pbtxt").write_text(name)
        (tmp_path / f"repository/{name}/1/model.py").write_text(name)
    (tmp_path / "repository/enhance/1").mkdir(parents=True)
    repository, scratch = tmp_path / "repository", tmp_path / "scratch"
    made, found = swap(repository, scratch, "--http-port", "9")
    assert made == [f"--model-repository={scratch}/1", "--http-port", "9"]
    assert found == [str(repository)]
    assert (scratch / "1/upscale/config.pbtxt").read_text() == "upscale"
    assert str((scratch / "1/upscale/1/model.py").readlink()) == "/m.py"
    assert (scratch / "1/other/1/model.py").read_text() == "other"
    assert list((scratch / "1/enhance").rglob("*")) == [scratch / "1/enhance/1"]


def test_a_repository_that_does_not_exist_is_left_to_triton(tmp_path: Path):
    """It says what is wrong."""
    made, _ = swap(tmp_path / "none", tmp_path)
    assert made == [f"--model-repository={tmp_path}/none"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("beta emulators pubsub start --foo", "unrecognized arguments: --foo"),
        ("beta emulators datastore start", "Invalid choice: 'datastore'"),
        ("compute instances list", "Invalid choice: 'compute instances list'"),
        ("beta emulators firestore start --host-port=x", "Bad value [x]"),
        ("beta emulators firestore start --data-dir=/x", "unrecognized arguments: --data-dir"),
        ("beta emulators pubsub start", "Unable to write file [/dev/null/emulators/pubsub"),
    ],
)
def test_gcloud_refuses_what_it_does_not_know_and_needs_its_folder(arguments: str, said: str):
    """Of the real one's commands it only knows the two emulators."""
    done = subprocess.run(
        [sys.executable, str(SOURCE / "gcloud.py"), *arguments.split()],
        env={"CLOUDSDK_CONFIG": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: (gcloud")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("file", "defect"),
    [
        ("core/config.py", r"def is_production(?![\s\S]*is_development)"),
        ("utils/secrets.py", r"import secretmanager"),
        ("services/queue.py", r"message\.delivery_attempt <= 5"),
        ("services/queue.py", r"NonRecordingSpan\(extract\("),
        ("services/storage.py", r"generate_signed_url"),
        ("api/middleware/auth.py", r"settings\.is_development\(\)"),
        ("api/middleware/auth.py", r"401"),
        ("api/middleware/rate_limit.py", r"settings\.REDIS_URL"),
        ("workers/triton_worker.py", r"monitoring_v3"),
    ],
)
def test_the_repository_has_upstreams_defects(file: str, defect: str):
    """Whoever removes one makes the lab's tests weaker: our start program has to correct it."""
    assert re.search(defect, (REPOSITORY / file).read_text())


def test_layers_are_named_by_all_that_goes_into_them(monkeypatch: pytest.MonkeyPatch):
    """A changed program makes another layer, although its name would be in the cache."""
    first = emulators._key()
    monkeypatch.setattr(emulators, "tree_hash", lambda _: "changed")
    assert emulators._key() != first
