"""The rendered stack prometheus: folders, owners, ports, and its needs on the host."""

from __future__ import annotations

from typing import Any

import yaml

from tests.unit.test_templates import configured, mounts, render, services
from workstation.stack import is_below

NVME, SSD = "/mnt/local/nvme", "/mnt/local/ssd"


def comfy(**data: Any) -> dict[str, Any]:
    return services("prometheus", changed=data)["comfy"]


def test_the_three_services_are_there_under_the_names_that_people_type():
    """The procedure contains `docker logs comfy`."""
    found = services("prometheus")
    assert list(found) == ["comfy", "ollama", "openwebui", "gate"]
    named = {name: keys.get("container_name", "") for name, keys in found.items()}
    assert named == {"comfy": "comfy", "ollama": "ollama", "openwebui": "openwebui", "gate": ""}


def test_its_folders_have_the_owners_of_the_procedure():
    """This covers every folder that it writes; the model store belongs to tasks/storage.py."""
    values = configured("prometheus")
    own = [place for place in render("prometheus").places if place.home == "own"]
    assert {one.path: f"{one.user}:{one.group} {one.mode}" for one in own} == {
        f"{NVME}/ai/services/comfy-mnt": "1024:1024 775",
        f"{NVME}/ai/cache/comfy": "1024:1024 775",
        f"{SSD}/ai/outputs/comfy": "1024:1024 775",
        f"{NVME}/ai/services/ollama": "root:root 755",
        f"{SSD}/ai/projects/openwebui": "root:root 700",
    }
    assert (values.models_path, values.store_group) == (f"{NVME}/ai/models", "docker")


def test_comfyuis_folder_is_one_mount_and_its_owner_the_wanted_user():
    """Its init script rejects anything else; both come from the same two numbers."""
    for uid, gid in ((1024, 1024), (1000, 100)):
        keys = comfy(comfy_uid=uid, comfy_gid=gid)
        below = [mount for mount in mounts(keys) if is_below(mount[1], "/comfy/mnt")]
        assert below == [(f"{NVME}/ai/services/comfy-mnt", "/comfy/mnt", False)]
        environment = keys["environment"]
        assert (environment["WANTED_UID"], environment["WANTED_GID"]) == (str(uid), str(gid))
        owners = keys["x-workstation"]["owners"]
        assert set(owners.values()) == {f"{uid}:{gid} 775"}
        assert "user" not in keys


def test_comfyui_may_become_another_user_and_no_more():
    """Through sudo, with capabilities that Docker would grant by default."""
    keys = comfy()
    assert "security_opt" not in keys
    assert keys["cap_drop"] == ["ALL"]
    assert {"SETUID", "SETGID", "AUDIT_WRITE"} <= set(keys["cap_add"])
    assert not {"SYS_ADMIN", "NET_ADMIN", "NET_RAW"} & set(keys["cap_add"])


def test_comfyui_writes_outputs_to_the_ssd_and_reads_models_outside_its_folder():
    """Through its own flags, without links inside the folder."""
    keys = comfy(flags={"comfy": ["--lowvram"]})
    flags = keys["environment"]["COMFY_CMDLINE_EXTRA"].split()
    assert flags[flags.index("--output-directory") + 1] == "/outputs"
    assert flags[-1] == "--lowvram"
    paths = flags[flags.index("--extra-model-paths-config") + 1]
    found = {target: (source, read_only) for source, target, read_only in mounts(keys)}
    assert found["/outputs"] == (f"{SSD}/ai/outputs/comfy", False)
    assert found["/models"] == (f"{NVME}/ai/models", True)
    assert found[paths][1] is True


def test_a_missing_folder_of_a_disk_is_not_made_by_docker():
    """It would be created on the system's disk, in place of the disk that is not mounted."""
    for keys in services("prometheus").values():
        for entry in keys["volumes"]:
            if isinstance(entry, dict):
                assert entry["bind"] == {"create_host_path": False}
    assert render("prometheus").model.disks == (NVME, SSD)


def test_the_first_start_of_comfyui_is_given_its_time():
    """Twice the usual time; the plan mentions it."""
    model = render("prometheus").model
    found = {service.name: service for service in model.running}
    assert found["comfy"].start_period >= 2 * 20 * 60
    assert found["comfy"].first_start.startswith("10 to 20 minutes")
    assert found["comfy"].says == "Starting server"


def test_without_a_gpu_comfyui_is_left_out():
    """Its start script fails without nvidia-smi."""
    assert list(services("prometheus", gpu=False)) == ["ollama", "openwebui", "gate"]
    assert "comfy" not in render("prometheus", gpu=False).files["gate/routes.yml"].decode()
    assert not any(one.gpu for one in render("prometheus", gpu=False).model.running)


def test_open_webui_finds_ollama_and_keeps_its_key():
    """Inside the stack's network; the key is next to the database."""
    keys = services("prometheus")["openwebui"]
    assert keys["environment"]["OLLAMA_BASE_URL"] == "http://ollama:11434"
    (data,) = [one for one in mounts(keys) if not one[2]]
    assert keys["environment"]["WEBUI_SECRET_KEY_FILE"].startswith(data[1] + "/")
    assert not any("PASSWORD" in name or name.endswith("KEY") for name in keys["environment"])


def test_variables_of_ollama_reach_its_container():
    """There are none by default."""
    assert "environment" not in services("prometheus")["ollama"]
    given = {"ollama_environment": {"OLLAMA_KEEP_ALIVE": "30m"}}
    assert services("prometheus", changed=given)["ollama"]["environment"] == {
        "OLLAMA_KEEP_ALIVE": "30m"
    }


def test_everything_that_it_writes_is_said_what_it_is():
    """Before wiping the machine, one can read what will be lost, and how to restore it."""
    lost = render("prometheus").model.losses()
    assert set(lost) == {
        f"{NVME}/ai/services/comfy-mnt",
        f"{NVME}/ai/cache/comfy",
        f"{NVME}/ai/services/ollama",
        f"{SSD}/ai/outputs/comfy",
        f"{SSD}/ai/projects/openwebui",
    }
    assert all(lost.values())
    compose = yaml.safe_load(render("prometheus").compose)
    assert "volumes" not in compose
