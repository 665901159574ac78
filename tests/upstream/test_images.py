"""Each image builds from its pinned sources, starts, finds the store and keeps its promises."""

from __future__ import annotations

import subprocess

import pytest

from tests.upstream.conftest import SERVICES, Workshop

MODULES = {
    "fooocus": "import modules.config, modules.core, modules.async_worker, extras.interrogate",
    "forge": "from modules import initialize; initialize.imports(); "
    "import modules_forge.main_entry",
    "fluxgym": "import sys; sys.path.insert(0, 'sd-scripts'); import flux_train_network, app",
    "ai-toolkit": "import os, sys; os.chdir('..'); sys.path.insert(0, '.'); "
    "import toolkit.job; from extensions_built_in.sd_trainer.SDTrainer import SDTrainer",
}

# Files that Fooocus downloads from Hugging Face before its interface starts (launch.py). If Hugging
# Face cannot be reached, empty files let it start; no picture can be made with them.
FOOOCUS_FILES = (
    "vae_approx/xlvaeapp.pth",
    "vae_approx/vaeapp_sd15.pth",
    "vae_approx/xl-to-v1_interposer-v4.0.safetensors",
    "prompt_expansion/fooocus_expansion/pytorch_model.bin",
)

CHECKPOINT = "made-up.safetensors"


@pytest.mark.parametrize("service", SERVICES)
def test_it_builds(workshop: Workshop, service: str):
    """With the deploy's own bake file, and labels that describe it."""
    workshop.build(service)
    said = workshop.engine.docker(
        *("image", "inspect", "-f", "{{json .Config.Labels}}", workshop.image(service)), check=True
    )
    assert "org.opencontainers.image.revision" in said.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_its_own_modules_import(workshop: Workshop, service: str):
    """The modules that its interface and its work load."""
    # Fooocus and Forge choose their device from the command line while they are imported.
    cpu = ["--always-cpu"] if service in ("fooocus", "forge") else []
    print(workshop.run(service, "python3", "-c", MODULES[service], *cpu))


@pytest.mark.parametrize("service", SERVICES)
def test_pytorch_serves_ada_and_blackwell(workshop: Workshop, service: str):
    """According to the list of architectures that it was compiled for."""
    # sm_89 (Ada) runs the binaries of sm_86: the same major capability.
    printed = workshop.run(
        service, "python3", "-c", "import torch; print(*torch._C._cuda_getArchFlags().split())"
    )
    assert {"sm_86", "sm_120"} <= set(printed.split())


@pytest.mark.parametrize("service", SERVICES)
def test_packages_agree_with_each_other(workshop: Workshop, service: str):
    """According to their metadata."""
    workshop.run(service, "uv", "pip", "check", user="root")


@pytest.mark.parametrize("service", SERVICES)
def test_it_starts_and_survives_a_recreate(workshop: Workshop, service: str):
    """Healthy by its own check, with the stack's Compose file; its volume stays."""
    if service == "fooocus":
        prepare_fooocus(workshop)
    workshop.compose("up", "-d", "--no-build", service)
    workshop.wait_healthy(service, 300)
    print(workshop.log(service)[-3000:])
    workshop.compose("exec", service, "touch", "/data/kept")
    workshop.compose("up", "-d", "--no-build", "--force-recreate", service)
    workshop.wait_healthy(service, 300)
    workshop.compose("exec", service, "test", "-f", "/data/kept")
    mount = workshop.outputs(service)
    workshop.compose("exec", service, "touch", f"{mount.target}/written")
    assert (workshop.engine.root / mount.source.lstrip("/") / "written").exists()
    workshop.compose("stop", service)


def prepare_fooocus(workshop: Workshop) -> None:
    """Put the empty files into its volume unless the real ones exist."""
    script = "for file; do mkdir -p $(dirname $file); [ -e $file ] || : >$file; done"
    files = [f"/data/models/{name}" for name in FOOOCUS_FILES]
    workshop.compose(
        "run", "--rm", "--no-deps", "--entrypoint", "sh", "fooocus", "-c", script, "sh", *files
    )


@pytest.mark.parametrize(
    ("service", "url"),
    [("fooocus", "http://127.0.0.1:7860/config"), ("forge", "http://127.0.0.1:7861/config")],
)
def test_a_checkpoint_of_the_store_is_offered(workshop: Workshop, service: str, url: str):
    """In the interface's list, by its name."""
    store = workshop.engine.root / workshop.models.lstrip("/") / "checkpoints"
    (store / CHECKPOINT).write_bytes(b"")
    workshop.compose("up", "-d", "--no-build", "--force-recreate", service)
    workshop.wait_healthy(service, 300)
    program = f"import urllib.request as r; print(r.urlopen({url!r}).read().decode())"
    assert CHECKPOINT in workshop.compose("exec", service, "python3", "-c", program)
    workshop.compose("stop", service)


def test_together_they_take_less_than_half_of_what_they_would_apart(workshop: Workshop):
    """Each child's size includes the base's, which is stored once."""
    sizes = {name: workshop.size(name) for name in ("base", *SERVICES)}
    apart = sum(sizes[name] for name in SERVICES)
    together = apart - (len(SERVICES) - 1) * sizes["base"]
    for name, size in sizes.items():
        print(f"{name}: {size / 1e9:.2f} GB")
    print(f"together {together / 1e9:.2f} GB, apart {apart / 1e9:.2f} GB: {together / apart:.3f}")
    assert together / apart <= 0.45


def test_no_image_holds_what_the_builder_was_handed(workshop: Workshop):
    """Neither in a layer nor in its history: the builds got the CA certificates."""
    marker = workshop.ca_marker
    images = [workshop.image(name) for name in ("base", *SERVICES)]
    with subprocess.Popen(workshop.engine.command("save", *images), stdout=subprocess.PIPE) as save:
        found = subprocess.run(
            ["grep", "--text", "--count", "--fixed-strings", marker],
            stdin=save.stdout,
            capture_output=True,
            text=True,
        )
    assert (save.returncode, found.stdout) == (0, "0\n")
    for image in images:
        said = workshop.engine.docker("history", "--no-trunc", image, check=True)
        assert marker not in said.stdout
