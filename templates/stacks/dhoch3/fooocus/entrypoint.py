#!/usr/bin/env python3
"""Prepares Fooocus' volume, then becomes Fooocus. Arguments are those of its launch.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

MODELS = Path("/data/models")
STORE = Path("/models")
CONFIG = Path(os.environ.get("config_path", "/data/config.txt"))  # noqa: SIM112 (upstream's name)

# Fooocus downloads to the first folder of a list and finds models in all of them.
LISTS = {"path_checkpoints": "checkpoints", "path_loras": "loras"}
# Where it knows one folder only, that is ours, with links into the model store.
LINKED = {
    "path_embeddings": "embeddings",
    "path_vae": "vae",
    "path_vae_approx": "vae_approx",
    "path_upscale_models": "upscale_models",
    "path_controlnet": "controlnet",
    "path_clip_vision": "clip_vision",
}
OWN = {
    "path_inpaint": "inpaint",
    "path_fooocus_expansion": "prompt_expansion/fooocus_expansion",
    "path_safety_checker": "safety_checker",
    "path_sam": "sam",
}


def paths() -> dict[str, object]:
    """Return the keys of config.txt that say where things are; the folders exist afterwards."""
    found: dict[str, object] = {"path_outputs": "/outputs"}
    for key, name in {**LISTS, **LINKED, **OWN}.items():
        (MODELS / name).mkdir(parents=True, exist_ok=True)
        found[key] = str(MODELS / name)
    for key, name in LISTS.items():
        # A folder that does not exist would make Fooocus fall back to its own for all of them.
        shared = [str(STORE / name)] if (STORE / name).is_dir() else []
        found[key] = [str(MODELS / name), *shared]
    for name in LINKED.values():
        subprocess.run(["link-models", str(STORE / name), str(MODELS / name)], check=True)
    return found


def write_config(found: dict[str, object]) -> None:
    """Lay the paths over config.txt; what the user set there stays."""
    try:
        # Fooocus rewrites it without flushing: a power cut may leave an empty one.
        config = json.loads(CONFIG.read_text().strip("\0 \n") or "{}")
    except FileNotFoundError:
        config = {}
    except ValueError as error:
        sys.exit(f"{CONFIG} is not JSON ({error}): correct it, or remove it to start afresh.")
    temporary = CONFIG.with_name(CONFIG.name + ".new")
    with temporary.open("w") as file:
        file.write(json.dumps({**config, **found}, indent=4))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(CONFIG)


def main() -> None:
    # Small files of the source tree that Fooocus expects among its models: vocabulary, tags.
    if Path("models").is_dir():
        shutil.copytree(
            "models", MODELS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("put_*_here")
        )
    write_config(paths())
    os.execvp("python3", ["python3", "launch.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
