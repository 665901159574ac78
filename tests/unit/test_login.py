"""Who may log in at our own proxy: what is refused before anything changes, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.unit.acceptance_stacks import configured
from workstation.settings import SettingsError
from workstation.traefik import login

KNOWN = {"login_user": "anna", "login_password": "geheim-123"}
HASH = "$2y$05$6oU933R7IvPJRPdUp.Yfq.MUT28lSMtVaoMpCNepZuSc9oR.EdAKG"


def users(**changes: Any) -> list[str]:
    content = yaml.safe_load(login.middlewares(configured(**{**KNOWN, **changes})))
    found: list[str] = content["http"]["middlewares"]["workstation-password"]["basicAuth"]["users"]
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "LOGIN_USER is not set"),
        ({"login_user": "anna"}, "LOGIN_PASSWORD is not set"),
        ({"login_password": "geheim-123"}, "LOGIN_USER is not set"),
        ({"login": "none", "login_services": {"web": "password"}}, "LOGIN_USER is not set"),
        ({"login": "forward"}, "LOGIN_ADDRESS is not set"),
        ({**KNOWN, "login_services": {"web": "forward"}}, "LOGIN_ADDRESS is not set"),
        ({**KNOWN, "login_services": {"wep": "none"}}, "login_services names wep"),
    ],
)
def test_a_route_without_what_its_login_needs_is_refused(changes: dict[str, Any], said: str):
    """Neither a password nor the words that do without is no decision."""
    with pytest.raises(SettingsError) as caught:
        login.check(configured(**changes), ["web", "other"])
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "services"),
    [({}, []), ({"login": "none"}, ["web"]), (KNOWN, ["web"])],
)
def test_what_is_decided_or_needs_no_decision_passes(changes: dict[str, Any], services: list[str]):
    login.check(configured(**changes), services)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"login_password": "short"}, "8 to 72 bytes"),
        ({"login_password": "\u00fc" * 37}, "8 to 72 bytes"),
        ({"login_user": "a:b"}, "a name without a colon"),
        ({"login_user": "a\n"}, "invisible characters"),
        ({"login": "basic"}, "expected 'password', 'forward' or 'none'"),
        ({"login_address": "authelia:9091"}, "an address such as"),
        ({"login_address": "http://u:p@a/"}, "an address such as"),
        ({"login_address": "http://a/ b"}, "an address without spaces"),
        ({"login_headers": "Remote User"}, "names of headers"),
        ({"login_services": {"web": "basic"}}, "login_services"),
        ({"proxy_origins": "https://a/"}, "origins such as"),
        ({"proxy_origins": "*"}, "origins such as"),
        ({"proxy": "existing", "login_user": "anna"}, "although proxy is existing"),
        ({"proxy": "existing", "login": "none"}, "although proxy is existing"),
        ({"proxy": "existing", "login_password": "geheim-123"}, "although proxy is existing"),
        ({"proxy": "existing", "proxy_origins": "https://a"}, "although proxy is existing"),
    ],
)
def test_settings_without_effect_or_of_a_wrong_form_are_refused(changes: dict[str, Any], said: str):
    with pytest.raises(SettingsError) as caught:
        configured(**changes)
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_second_run_writes_the_same_hash_and_others_write_another():
    """A hash with a new salt in each run would be a change in each run."""
    (first,), (second,) = users(), users()
    assert first == second
    name, _, text = first.partition(":")
    assert name == "anna"
    assert bcrypt.checkpw(b"geheim-123", text.encode())
    for other in ({"login_user": "ben"}, {"domain": "other.example"}, {"login_password": "x" * 9}):
        assert users(**other)[0].partition(":")[2] != text


def test_further_users_come_from_a_file_and_cannot_replace_the_first(tmp_path: Path):
    file = tmp_path / "users"
    file.write_text(f"# people\n\nben:{HASH}\nanna:{HASH}\n")
    first, *others = users(login_file=str(file))
    assert first == users()[0]
    assert others == [f"ben:{HASH}"]


@pytest.mark.parametrize(
    "text",
    [
        *("ben:geheim-123", "ben", "ben:$apr1$x$y", "ben:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc="),
        *(f"ben:{HASH}\nben:{HASH}", f"b en:{HASH}", f":{HASH}", f"ben:{HASH}x"),
    ],
)
def test_a_file_with_anything_but_bcrypt_hashes_is_refused(tmp_path: Path, text: str):
    """The line is named and not shown: it may be a password."""
    file = tmp_path / "users"
    file.write_text(text)
    with pytest.raises(
        SettingsError, match=r"users line \d (is not a user|names a user)"
    ) as caught:
        users(login_file=str(file))
    assert "geheim" not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot be read"):
        users(login_file=str(tmp_path / "missing"))


def test_curl_gets_the_password_as_it_is():
    odd = 'a "b" \\c \u00fc'
    assert login.credentials(configured(login_user="anna", login_password=odd)) == (
        'user = "anna:a \\"b\\" \\\\c \u00fc"\n'
    )
