"""Values that would make a machine unsafe are rejected, and no error shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_settings import load, refusal
from workstation import environment, mirror, settings
from workstation.env_file import EnvironmentFileError
from workstation.environment import Secret
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.settings import SECRETS, Settings

ROOT = Path(__file__).parents[2]
MARK = "Geheim-marker"


# Numbers of users and groups


@pytest.mark.parametrize("name", ["service_uid", "service_gid"])
@pytest.mark.parametrize("value", [0, -1, 65534, 65535, 2**31, 2**32 - 1, 2**32, "0", "0x0", 1.5])
def test_numbers_that_are_root_nobody_or_none_are_refused(name: str, value: Any):
    """For chown(2), -1 means no change, 65535 is the old form of that, and the kernel uses 32
    bits."""
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("name", ["service_uid", "service_gid"])
@pytest.mark.parametrize("value", [1, 999, 1000, 65533, 65536, 2**31 - 1])
def test_other_numbers_are_taken(name: str, value: int):
    """Up to the largest number that is valid everywhere."""
    assert getattr(load(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["service_user", "service_group", "models_group"])
@pytest.mark.parametrize("value", ["root", "Root", "a b", "-rf", "a:b", "a" * 33, "a\nb", "$(id)"])
def test_names_that_are_root_or_mean_something_to_a_shell_are_refused(name: str, value: str):
    """They are used in useradd, chgrp and Dockerfiles."""
    assert name in refusal(**{name: value})


# Paths


PATHS = ["stacks_dir", "models_path", "ollama_models", "smb_mount"]
BAD_PATHS = [
    *("/", "//", "", ".", "models", "~/models", "/a/", "/a//b", "/a/../b", "/a/./b", "/.."),
    *("/a b", "/a\tb", "/a\nb", "/a:b", "/a$HOME", '/a"b', "/a'b", "/a\\b", "/a\0b", "/a\x7fb"),
]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("value", BAD_PATHS)
def test_paths_that_lead_elsewhere_or_need_quoting_are_refused(name: str, value: str):
    """They are used in fstab, Compose files, units and scripts; the root of the disk cannot be the
    store."""
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("name", ["stacks_dir", "models_path", "ollama_models"])
@pytest.mark.parametrize("below", ["", "/x", "/a/b"])
def test_nothing_but_outputs_lies_on_the_share(name: str, below: str):
    """Neither stacks with their secrets, nor models whose groups are changed, nor the whole share.
    A folder whose name only begins the same is not on it."""
    message = refusal(**{name: f"/mnt/ki_Daten{below}"})
    assert message.startswith(f"{name} is on the share")
    assert getattr(load(**{name: "/mnt/ki_Daten2"}), name) == "/mnt/ki_Daten2"
    assert getattr(load(**{name: "/mnt/x", "smb_mount": "/mnt/x2"}), name) == "/mnt/x"


@pytest.mark.parametrize(
    "value", ["../etc", "a/b", "", ".", "..", ".hidden", "a b", "-rf", "a\nb", "$x"]
)
def test_folders_of_the_store_are_names(value: str):
    """A path would be created elsewhere, and its group changed."""
    assert "models_folders" in refusal(models_folders=[value])


# Mount options


TAKEN = [
    *("user=x", "username=x", "pass=x", "password=x", "password2=x", "cred=/x", "credentials=/x"),
    *("dom=x", "domain=x", "workgroup=x", "uid=0", "gid=0", "forceuid", "forcegid"),
]


@pytest.mark.parametrize("option", TAKEN)
def test_mount_options_that_other_settings_give_are_refused(option: str):
    """Everybody may read fstab, so it contains no password; and ownership is the same for all."""
    message = refusal(smb_options=[option])
    assert "instead)" in message
    assert "smb_options" in message


@pytest.mark.parametrize(
    "option", ["guest", "bind", "rbind", "remount", "ro", "noauto", "unc=//x/y", "target=x"]
)
def test_mount_options_with_which_it_would_not_be_the_share_are_refused(option: str):
    """It would belong to anybody, be something else, or be missing when Docker starts."""
    said = refusal(smb_options=[option])
    assert f"expected no {option.partition('=')[0]}, because" in said


@pytest.mark.parametrize("option", ["vers=3.0,uid=0", "a b", "a\nb", 'x="y"', "x=a\\b", "-o", "=x"])
def test_a_mount_option_is_one_option(option: str):
    """A comma would begin another option, and a space another field of fstab."""
    assert "smb_options" in refusal(smb_options=[option])


# Values in units


@pytest.mark.parametrize("value", ["a\nExecStartPre=/bin/x", "a\rb", "a\0b", "a\x1bb"])
def test_a_value_of_ollamas_is_one_line(value: str):
    """After a line break, the rest would be a line of the unit, which root's systemd reads."""
    assert "ollama_environment" in refusal(ollama_environment={"OLLAMA_X": value})


@pytest.mark.parametrize("name", ["OLLAMA_HOST", "OLLAMA_MODELS"])
def test_ollama_is_told_by_settings_where_it_listens(name: str):
    """A variable of that name would open it to the LAN."""
    assert "instead)" in refusal(ollama_environment={name: "0.0.0.0"})


@pytest.mark.parametrize("name", ["host", "none", "bridge", "default"])
def test_services_are_never_in_the_hosts_network(name: str):
    """The Engine's predefined networks are rejected too."""
    assert "proxy_network" in refusal(proxy_network=name)


# Secrets


def test_every_setting_that_is_called_a_secret_is_one():
    """It has a secret's type, and no default in any file."""
    passwords = {"smb_password", "login_password", "dockge_password", "openwebui_password"}
    keys = {"redis_password", "ai_toolkit_auth", "imagen_api_key"}
    keys |= {"hf_token", "llm_api_key", "ngc_api_key"}
    assert keys | passwords == SECRETS
    loaded = load(**dict.fromkeys(SECRETS, MARK))
    for name in SECRETS:
        assert getattr(loaded, name).get_secret_value() == MARK
        assert name not in settings.defaults(ROOT / "group_data/all.py")
    shown = f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()} {vars(loaded)!r}"
    assert MARK not in shown


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(
    "value", [f"{MARK}\nuid=0", f"{MARK}\r", f"{MARK}\0", 12345, 1.5, None, [MARK], {"a": MARK}]
)
def test_no_refusal_shows_a_secret(name: str, value: Any):
    """No matter what is wrong with it, and what type it has."""
    message = refusal(**{name: value})
    assert message.startswith(name.upper())
    assert "Geheim" not in message
    assert "12345" not in message


def test_another_settings_error_shows_no_secret_beside_it():
    """pydantic's own errors contain all of their input."""
    with pytest.raises(ValueError, match="gpu") as caught:
        Settings.model_validate({"smb_password": MARK, "redis_password": MARK, "gpu": "x"})
    assert MARK not in f"{caught.value} {caught.value!r}"
    assert MARK not in refusal(smb_password=MARK, redis_password=MARK, gpu="x")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_an_empty_secret_is_none(name: str):
    """It would be used, and the server's answer would look like a network problem."""
    for value in ("", Secret("")):
        with pytest.raises(UserError, match=f"^{name.upper()} is not set"):
            load(**{name: value}).secret(name)
        with pytest.raises(UserError, match=f"^{name.upper()} is not set"):
            load(**{name: value}).require(name)


# .env


def read(tmp_path: Path, text: str) -> environment.Environment:
    (tmp_path / ".env").write_text(text)
    return environment.read({}, tmp_path, ["dhoch3"])


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_of_env_are_masked_from_the_first_moment(tmp_path: Path, name: str):
    """pyinfra prints a host's data, as text and as JSON."""
    data = read(tmp_path, f"{name.upper()}='{MARK}'\n").host_data()
    value = data[name]
    assert isinstance(value, Secret)
    assert value.get_secret_value() == MARK
    assert MARK not in f"{data} {data!r} {value.to_json()}"


@pytest.mark.parametrize(
    "line",
    [
        "SMB_PASSWORD=a #b",
        "SMB_PASSWORD=# Geheim",
        "SMB_DOMAIN=# none",
        "CA_BUNDLE=#",
        "WORKSTATION_HOST=gpu1%eth0",
        "SMB_PASSWORD='a\nGPU=none",
        'REDIS_PASSWORD="a\\nb"',
        "SMB_PASSWORD=a\nSMB_PASSWORD=b",
        "SMB_PASWORD=Geheim",
        "Geheim=",
        "hU2-Geheim=x=y",
        "'Geheim'=x",
        "SMB_PASSWORD=x\nGeheim",
        "WORKSTATION_HOST=@ssh/anna",
        "WORKSTATION_HOST=root@gpu1",
        "WORKSTATION_HOST=@docker/x",
        "STACKS=dhoch",
    ],
)
def test_an_env_file_that_could_be_read_in_two_ways_is_refused(tmp_path: Path, line: str):
    """Half a password, the second of two, another connector of pyinfra's: nothing is guessed."""
    with pytest.raises(EnvironmentFileError) as caught:
        read(tmp_path, f"{line}\n")
    assert "Geheim" not in str(caught.value)


# A mirror's file


@pytest.mark.parametrize("key", ["http", "pypi", "npm"])
@pytest.mark.parametrize(
    "address",
    [
        "http://geheim@m",
        "http://geheim:x@m",
        "http://:geheim@m",
        "https://token-geheim@m/simple",
        "http://m/simple?token=geheim",
        "ftp://m",
        "file:///etc",
        "//m",
        "m:80",
        "http://",
        "javascript:x",
    ],
)
def test_a_mirrors_address_is_plain(tmp_path: Path, key: str, address: str):
    """Everybody can read it in the images built here, so it contains no user, password or token. It
    must be an HTTP address."""
    file = tmp_path / "mirror.yml"
    file.write_text(yaml.safe_dump({key: address}))
    with pytest.raises(UserError, match=f"line 1: {key} is invalid") as caught:
        mirror.load(str(file))
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("value", ["http://m:5000", "m 5000", "m\tx", "m\nx", "https://m"])
def test_a_mirrors_registry_is_a_name(tmp_path: Path, value: str):
    """It is used as a word in commands and Dockerfiles."""
    file = tmp_path / "mirror.yml"
    file.write_text(yaml.safe_dump({"registry": value}))
    with pytest.raises(UserError, match="registry is invalid"):
        mirror.load(str(file))


def test_a_mirror_that_is_misspelt_is_not_none():
    """Otherwise builds would use the internet."""
    with pytest.raises(ValueError, match="pipy"):
        Mirror.model_validate({"pipy": "http://m"})
