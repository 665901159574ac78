"""The folders that mounts need: one list, from which each task takes its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from workstation.places import Place, of_host, of_stack
from workstation.settings import Settings, defaults, load
from workstation.stack import Stack, parse

ROOT = Path(__file__).parents[2]
FOLDER = "/opt/stacks/made-up"


def settings(**changes: Any) -> Settings:
    return load({**defaults(ROOT / "group_data/all.py"), "stacks_dir": "/opt/stacks", **changes})


def stack(*volumes: str, owners: dict[str, str] | None = None) -> Stack:
    service = {"image": "i:1", "volumes": [*volumes], "x-workstation": {"owners": owners or {}}}
    idle = {"image": "i:1", "profiles": ["build"], "volumes": ["/mnt/ki/Never:/n", "/never:/m"]}
    content = {"name": "made-up", "services": {"a": service, "b": idle}}
    return parse(yaml.safe_dump(content), FOLDER)


def places(home: str, *volumes: str, **changes: Any) -> list[str]:
    found = of_stack(settings(smb_mount="/mnt/ki", models_path="/vol/models"), stack(*volumes))
    return [place.path for place in found if place.home == home]


def test_on_the_share_it_is_the_first_folder_below():
    """Each once; a folder whose name only begins the same, and the share itself, do not count."""
    found = places(
        "share", "/mnt/ki/Forge/x:/o", "/mnt/ki/Forge:/p:ro", "/mnt/ki2/No:/n", "/mnt/ki:/k"
    )
    assert found == ["/mnt/ki/Forge"]


def test_in_the_store_it_is_too_with_its_group():
    """No matter which service mounts it, because all services share one store."""
    values = settings(models_path="/vol/models", models_group="docker")
    (found,) = of_stack(values, stack("/vol/models/gguf/big:/m:ro", owners={"/vol/models": "1:1"}))
    assert found == Place("/vol/models/gguf", "store", "root", "docker", "2775")


def test_a_stacks_own_have_the_owners_that_it_names():
    """The default owner is root; the group of a user has the same name."""
    volumes = ("/srv/a:/a", "/srv/b:/b", "/srv/c:/c", "named:/v")
    owners = {"/srv/a": "2000:2001 2775", "/srv/b": "2000"}
    assert of_stack(settings(), stack(*volumes, owners=owners)) == [
        Place("/srv/a", "own", "2000", "2001", "2775"),
        Place("/srv/b", "own", "2000", "2000", "755"),
        Place("/srv/c", "own", "root", "root", "755"),
    ]


def test_what_others_make_is_no_stacks_own():
    """For example the system, the store and the share as a whole, and files that come with a
    stack."""
    system = ("/var/run/docker.sock:/s", "/etc/localtime:/l:ro", "/dev/dri:/d")
    made = ("/vol/models:/m", "/mnt/ki:/k", "./data:/data", "/opt/stacks:/stacks")
    alike = ("/vol/models2:/n", "/etcetera:/e")
    assert places("own", *system, *made, *alike) == ["/vol/models2", "/etcetera"]


def test_a_host_has_the_common_folders_of_the_store_once():
    """The store itself first, then the common folders, then those that only one stack mounts."""
    values = settings(models_path="/vol/models", models_folders=["vae", "loras"])
    found = of_host(values, [stack("/vol/models/vae:/a", "/vol/models/gguf:/b")])
    assert [place.path.removeprefix("/vol/models") for place in found] == [
        *("", "/vae", "/loras", "/gguf")
    ]
    assert {(place.home, place.mode) for place in found} == {("store", "2775")}


def test_the_store_is_known_by_its_folders():
    """Those of the setting, and those that services mount; an existing folder without any of them
    is not taken for a store."""
    values = settings(models_path="/vol/models", models_folders="vae,loras")
    found = of_host(values, [stack("/vol/models/gguf/big:/m:ro", "/srv/a:/a")])
    known = {place.path: place.known_by for place in found}
    assert known.pop("/vol/models") == ("gguf", "loras", "vae")
    assert set(known.values()) == {()}


def test_the_store_is_known_by_the_models_that_services_load():
    """A store that holds nothing else is no mistake."""
    service = {
        "image": "i:1",
        "volumes": ["/vol/models:/models:ro", "/srv/a:/other"],
        "x-workstation": {
            "models": [
                {"path": "/models/diffusers/x", "format": "diffusers", "setting": "x"},
                {"path": "/models/one.gguf", "format": "gguf", "setting": "y"},
                {"path": "/other/two.gguf", "format": "gguf", "setting": "z"},
            ]
        },
    }
    made = parse(yaml.safe_dump({"name": "m", "services": {"a": service}}), FOLDER)
    known = of_host(settings(models_path="/vol/models"), [made])[0].known_by
    assert {"diffusers", "one.gguf", "checkpoints"} <= {*known}
    assert "two.gguf" not in known
