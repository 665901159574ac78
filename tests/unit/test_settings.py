"""Settings: which values are accepted, and the errors about the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.hiddenvalue import HiddenValue

from workstation import settings
from workstation.environment import Secret
from workstation.pyinfra_keys import PYINFRA_KEYS
from workstation.settings import Settings, SettingsError

ROOT = Path(__file__).parents[2]
DEFAULTS = settings.defaults(ROOT / "group_data/all.py")


def load(**changes: Any) -> Settings:
    return settings.load({**DEFAULTS, **changes}, ["dhoch3"])


def refusal(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_the_defaults_are_settings_that_load():
    """The shipped group_data/all.py is valid."""
    assert load().models_path == "/vol/service/cw/storage-models/models"


def test_every_setting_has_its_default_beside_its_meaning_or_is_the_sites_to_set():
    """Never both: the shipped group_data/all.py only assigns settings that have no default."""
    assigned = {name for name in _assigned_names() if not name.startswith("_")}
    required = {name for name, field in Settings.model_fields.items() if field.is_required()}
    assert assigned == required == {"domain", "models_path", "ollama_models", "smb_mount"}
    assert set(DEFAULTS) == set(Settings.model_fields) - settings.SECRETS


def test_a_default_is_what_it_would_be_if_somebody_had_written_it():
    """Pydantic does not validate its own defaults."""
    site = {name: DEFAULTS[name] for name in _assigned_names()}
    assert settings.load(site) == settings.load(DEFAULTS)


def _assigned_names() -> set[str]:
    import runpy

    return {n for n in runpy.run_path(str(ROOT / "group_data/all.py")) if not n.startswith("__")}


def test_every_setting_is_described():
    """Each field states its purpose."""
    assert all(field.description for field in Settings.model_fields.values())


def test_pyinfras_own_data_and_the_stacks_are_left_aside():
    """host.data also contains connection data, global arguments and one dictionary per stack."""
    data = {**DEFAULTS, "ssh_user": "root", "ssh_port": 22, "_sudo": True, "dhoch3": {"a": 1}}
    assert settings.load(data, ["dhoch3", "proxy"]).proxy == "own"


def test_pyinfras_names_are_those_of_the_pyinfra_that_is_installed():
    """Otherwise a new name of pyinfra's would be rejected, or a removed one accepted."""
    from pyinfra.api.arguments import all_argument_meta
    from pyinfra.connectors.ssh import ConnectorData

    arguments = {name for name in all_argument_meta if name.startswith("_")}
    assert {*ConnectorData.__annotations__, *arguments} == PYINFRA_KEYS


def test_an_unknown_key_names_the_nearest_known_one():
    """A misspelled setting is an error and is not ignored."""
    message = refusal(model_path="/models")
    assert message.startswith("model_path is not a setting (did you mean models_path?)")


def test_an_unknown_key_unlike_any_other_is_refused_all_the_same():
    """Without a similar name, there is no suggestion."""
    assert "did you mean" not in refusal(xyzzy=1)


def test_a_missing_setting_says_where_to_set_it():
    """A line deleted from group_data/all.py is noticed."""
    data = {key: value for key, value in DEFAULTS.items() if key != "domain"}
    with pytest.raises(SettingsError, match=r"^domain is not set: set DOMAIN in \.env or"):
        settings.load(data)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gpu": "yes"}, "gpu is 'yes', expected 'required', 'optional' or 'none'"),
        ({"nvidia_driver": "latest"}, "such as 580-open"),
        ({"stacks_dir": "opt/stacks"}, "expected an absolute path"),
        ({"stacks_dir": "/opt/stacks/"}, "without a trailing slash"),
        ({"models_path": "/vol/../etc"}, "expected an absolute path"),
        ({"models_path": "/"}, "expected an absolute path"),
        ({"models_path": "/vol/my models"}, "without spaces"),
        ({"models_path": "/vol/a:b"}, "without spaces, quotes, colons"),
        ({"domain": "design hoch drei"}, "expected a host name"),
        ({"domain": "-a.de"}, "expected a host name"),
        ({"smb_server": "192.168.0.256"}, "expected a host name or an IP address"),
        ({"smb_server": "//192.168.0.6"}, "expected a host name or an IP address"),
        ({"smb_server": "fe80::1%eth0 x,uid=0"}, "expected a host name or an IP address"),
        ({"smb_server": "fe80::1%$(id)"}, "expected a host name or an IP address"),
        ({"smb_share": "//192.168.0.6/ki_Daten"}, "only a share name"),
        ({"smb_user": "OFFICE\\d3"}, "the domain goes in smb_domain"),
        ({"service_uid": 0}, "expected a number from 1"),
        ({"service_gid": 65534}, "but not 65534"),
        ({"service_uid": "many"}, "expected a valid integer"),
        ({"service_user": "root"}, "not root"),
        ({"service_user": "Some User"}, "an account name such as ai"),
        ({"ollama_port": 0}, "greater than or equal to 1"),
        ({"ollama_port": 65536}, "less than or equal to 65535"),
        ({"ollama_environment": {"OLLAMA_HOST": "0.0.0.0"}}, "use ollama_port instead"),
        ({"ollama_environment": {"keep-alive": "1h"}}, "variable names such as OLLAMA_DEBUG"),
        ({"proxy": "none"}, "expected 'own' or 'existing'"),
        ({"proxy_network": "host"}, "other than host"),
        ({"proxy_middlewares": "a b"}, "such as default@file"),
        ({"proxy_read_timeout": "1 hour"}, "a duration such as 1h"),
        ({"proxy_mem_limit": "512"}, "a size such as 512mb"),
        ({"proxy_mem_limit": "half"}, "a size such as 512mb"),
        ({"proxy_pids_limit": 0}, "greater than 0"),
        ({"models_folders": ["../etc"]}, "an entry of models_folders is '../etc'"),
        ({"models_folders": ["vae", "vae"]}, "expected each entry only once"),
        ({"smb_options": ["password=geheim"]}, "use smb_password in .env instead"),
        ({"smb_options": ["uid=0"]}, "use service_uid instead"),
        ({"smb_options": ["seal noperm"]}, "expected mount options"),
        ({"smb_options": ["x-systemd.automount"]}, "mounted at boot"),
        ({"smb_options": ["ro"]}, "written to the share"),
        ({"smb_options": ["prefixpath=a/b"]}, "only by smb_server and smb_share"),
        ({"mirror": "a\nb"}, "without line breaks"),
        ({"mirror": None}, "expected a valid string"),
        ({"ollama_port": 80}, "ollama_port and proxy_http_port are the same port"),
        ({"models_path": "/mnt/ki_Daten/models"}, "models_path is on the share"),
    ],
)
def test_an_impossible_value_is_one_sentence(changes: dict[str, Any], expected: str):
    """It names the key, the value, the expected form, and where to set it."""
    message = refusal(**changes)
    assert expected in message
    assert ".env" in message or "group_data" in message


@pytest.mark.parametrize(
    "options",
    [
        ["password=geheim,x"],
        "seal,Pass=geheim",
        ["pass=geheim"],
        [["password=geheim"]],
        {"seal": "password=geheim"},
    ],
)
def test_a_password_among_mount_options_is_refused_and_not_shown(options: object):
    """It belongs in SMB_PASSWORD."""
    assert "geheim" not in refusal(smb_options=options)


def test_text_from_env_or_data_becomes_numbers_and_lists():
    """--data and .env provide text; a list is written with commas."""
    loaded = load(
        service_uid="1500", ollama_port="11500", smb_options="seal, vers=3.0", proxy_middlewares=""
    )
    assert (loaded.service_uid, loaded.ollama_port) == (1500, 11500)
    assert loaded.smb_options == ["seal", "vers=3.0"]
    assert loaded.proxy_middlewares == []


def test_a_number_given_for_text_stays_as_written():
    """--data turns 0 into a number before it arrives here."""
    assert load(proxy_read_timeout=0).proxy_read_timeout == "0"


@pytest.mark.parametrize("wrap", [str, HiddenValue, Secret])
def test_a_password_keeps_every_character_and_is_never_shown(wrap: Any):
    """Dollars, quotes, commas, percent signs, spaces and umlauts are all valid in a password."""
    password = " $HOME \"'`,#%\\ä€=~ "
    loaded = load(smb_password=wrap(password))
    assert loaded.smb_password.get_secret_value() == password
    assert "HOME" not in f"{loaded!r} {loaded} {loaded.model_dump_json()}"


@pytest.mark.parametrize("value", [12345, "pass\nword", "pass\x00word"])
def test_a_refused_password_is_not_in_the_message(value: Any):
    """Not even if the password itself is invalid. A number has lost its leading zeros."""
    message = refusal(smb_password=value)
    assert message.startswith("SMB_PASSWORD is invalid")
    assert "12345" not in message
    assert "word," not in message


def test_a_missing_secret_is_an_error_only_for_what_needs_it():
    """Settings load without it; require() says where to set it."""
    loaded = load()
    with pytest.raises(SettingsError) as caught:
        loaded.require("domain", "smb_password")
    assert str(caught.value) == (
        "SMB_PASSWORD is not set: add it to .env (see .env.example) or to the environment."
    )


def test_the_share_is_named_as_mount_cifs_names_it():
    """//server/share, once both are set."""
    assert load(smb_server="192.168.0.6", smb_share="ki_Daten").smb_unc == "//192.168.0.6/ki_Daten"
    with pytest.raises(SettingsError, match="SMB_SERVER is not set"):
        load().smb_unc  # noqa: B018


def test_settings_do_not_change():
    """Checked values stay as they were."""
    with pytest.raises(ValueError, match="frozen"):
        load().domain = "other.de"  # type: ignore[misc]
