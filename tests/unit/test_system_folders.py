"""No setting, link or mount hands a folder of the system to a service."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.fixtures.harness import settings
from tests.unit.test_links import state
from tests.unit.test_templates import ROOT, data
from workstation import stack_settings
from workstation.errors import UserError
from workstation.links import destination
from workstation.places import of_stack
from workstation.settings import Settings
from workstation.stack import parse
from workstation.system_folders import is_system, may_be_set
from workstation.values import Called

SYSTEM = (
    *("/bin", "/boot", "/boot/efi", "/dev", "/dev/shm", "/etc", "/etc/cron.d", "/home", "/lib"),
    *("/lib64/x", "/lost+found", "/media", "/mnt", "/opt", "/proc", "/proc/1", "/root", "/run"),
    *("/run/lock", "/sbin", "/snap/x", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib/x"),
    *("/usr/local", "/usr/local/bin", "/usr/local/lib/x", "/usr/local/share", "/usr/share"),
    *("/var", "/var/backups", "/var/cache", "/var/lib", "/var/lib/docker", "/var/lib/docker/x"),
    *("/var/lib/dpkg", "/var/lib/private/x", "/var/log", "/var/mail", "/var/run", "/var/run/x"),
    *("/var/lock/x", "/var/spool", "/var/tmp", "/var/www", "/home/alice"),
)
OURS = (
    *("/vol/models", "/models", "/opt/models", "/srv/models", "/mnt/disk", "/media/disk", "/data"),
    *("/home/alice/models", "/var/lib/models", "/var/models", "/usr/share/ollama/.ollama/models"),
    *("/usr/local/models", "/etcetera", "/homes", "/varnish", "/root/models", "/tmp/models"),
)
FOLDERS = [
    name for name, field in Settings.model_fields.items() if Called("folder") in field.metadata
]


def test_every_setting_that_names_a_folder_is_tried():
    assert FOLDERS == ["stacks_dir", "models_path", "smb_mount", "ollama_models"]


@pytest.mark.parametrize("path", SYSTEM)
def test_a_system_folder_is_no_folder_for_a_service(path: str):
    """A run would give it, and sometimes everything in it, another owner or mode."""
    for name in FOLDERS:
        with pytest.raises(
            UserError, match=rf"{name} is '{re.escape(path)}', expected a dedicated folder"
        ):
            settings(**{name: path})
    for changes in ({"fast": path}, {"bulk": path}, {"disks": [path]}):
        with pytest.raises(UserError, match=r"expected a dedicated folder"):
            of_prometheus(changes)
    assert may_be_set(path) is False
    assert is_system(path)


def of_prometheus(changes: dict[str, Any]) -> dict[str, Any]:
    given = {**data("prometheus"), **changes}
    return stack_settings.checked("prometheus", given, ROOT / "templates/stacks")


@pytest.mark.parametrize("path", OURS)
def test_a_folder_of_ones_own_may_be_anywhere_else(path: str):
    """Ollama's installer, for one, has its models in /usr/share."""
    for name in FOLDERS:
        assert getattr(settings(**{name: path}), name) == path
    assert of_prometheus({"fast": path})["fast"] == path


@pytest.mark.parametrize("path", SYSTEM)
def test_no_link_and_no_mount_leads_there(path: str):
    """What root sets on a folder, it sets on a link's target."""
    assert destination("/vol/models", [], {"/vol/models": state(real=path)}).system
    text = f"name: s\nservices: {{web: {{image: 'a/b:1', volumes: ['{path}:/x']}}}}"
    assert of_stack(settings(), parse(text, "/opt/stacks/s")) == []
