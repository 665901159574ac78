"""What a slip in a user's file would open: passwords that others read, keys that are laid down, and
programs on the share. No error shows a password in an address."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.fixtures.harness import ROOT, settings
from tests.unit.test_templates import render
from workstation import environment, hooks, pins
from workstation import mirror as mirrors
from workstation.context import Context
from workstation.errors import UserError, shown
from workstation.mirror import Mirror


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o604, 0o620])
def test_a_file_with_passwords_that_others_may_read_or_change_is_noted(tmp_path: Path, mode: int):
    """With the command that corrects it; also for a file that ENV_FILE names."""
    for name, variables in ((".env", {}), ("a b", {"ENV_FILE": str(tmp_path / "a b")})):
        file = tmp_path / name
        file.write_text("WORKSTATION_HOST=gpu1\n")
        file.chmod(mode)
        note = environment.read(variables, tmp_path, ["dhoch3"]).note
        assert f"(mode {mode:o}): run `chmod 600 {shlex.quote(str(file))}`." in note
        file.chmod(0o600)
        assert environment.read(variables, tmp_path, ["dhoch3"]).note == ""


def test_the_note_is_shown_before_the_run(capsys: pytest.CaptureFixture[str]):
    hooks.note("a file is open")
    hooks.note("")
    assert capsys.readouterr().err == "    note: a file is open\n"
    assert "hooks.note(_environment.note)" in (ROOT / "inventory.py").read_text()


@pytest.mark.parametrize(
    "key",
    [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_private_key_is_never_laid_down_beside_certificates(
    tmp_path: Path, key: str, first: bool
):
    """Files such as /etc/ssl/private/server.pem have both; the host's copy is for everyone."""
    parts = [f"-----BEGIN {name}-----\nGeheim\n" for name in (key, "CERTIFICATE")]
    bundle = tmp_path / "ca.pem"
    bundle.write_text("".join(parts if first else reversed(parts)))
    given = settings(ca_bundle=str(bundle))
    context = Context(None, given, pins.load(), Mirror(), ())
    with pytest.raises(UserError, match=r"ca.pem, which contains a private key") as caught:
        context.ca_bundle()
    assert "Geheim" not in str(caught.value)
    bundle.write_text(parts[1])
    assert context.ca_bundle() == parts[1].encode()


@pytest.mark.parametrize(
    "option",
    [
        *("file_mode=04777", "file_mode=4755", "dir_mode=02775", "dir_mode=01777", "fmask=6777"),
        *("dmask=1777", "dirmode=2770", "file_mode=0x9ff", "file_mode=u+s", "file_mode"),
        *("suid", "dev", "file_mode=", "file_mode=0o4777"),
    ],
)
def test_nothing_on_the_share_becomes_a_setuid_program(option: str):
    """Its mode is the same for all files, whoever put them there."""
    with pytest.raises(UserError, match=r"an entry of smb_options is "):
        settings(smb_options=[option])


@pytest.mark.parametrize("option", ["file_mode=0664", "dir_mode=770", "fmask=0600", "exec"])
def test_ordinary_modes_of_the_share_are_accepted(option: str):
    assert settings(smb_options=[option]).smb_options == [option]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("smb_server", "me:geheim@nas"),
        ("smb_server", "//me:geheim@nas"),
        ("smb_share", "//me:geheim@nas/x"),
        ("domain", "https://geheim@example.org"),
        ("mirror", "https://me:geheim@mirror/mirror.yml"),
        ("ca_bundle", "https://geheim@host/ca.pem"),
        ("ca_bundle", "https://host/ca.pem?token=geheim"),
        ("stacks_dir", "https://me:" + "x" * 200 + "geheim@host/a"),
    ],
)
def test_no_password_in_an_address_is_shown(setting: str, value: str):
    """A person may put an address where none belongs."""

    def use() -> None:
        given = settings(**{setting: value})
        mirrors.load(given.mirror)
        Context(None, given, pins.load(), Mirror(), ()).ca_bundle()

    with pytest.raises(UserError) as caught:
        use()
    assert "geheim" not in str(caught.value)
    assert "..." in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("https://me:pw@h/a", "'https://...@h/a'"),
        ("https:/pw@h/a", "'https:/...@h/a'"),
        ("me:pw@h", "'...@h'"),
        ("https://h/a?token=pw&x=1", "'https://h/a?...'"),
        ("ghp_pw", "'ghp_...'"),
        ({"a": ["glpat-pw"]}, "{'a': ['glpat-...']}"),
        ("docker.io/a/b:1@sha256:ab", "'docker.io/a/b:1@sha256:ab'"),
        ("auth@file", "'auth@file'"),
        ("git@github.com:a/b", "'git@github.com:a/b'"),
        ("what?", "'what?'"),
    ],
)
def test_errors_show_values_without_passwords(text: object, seen: str):
    assert shown(text) == seen


def test_the_password_of_ai_toolkit_is_in_no_file_but_its_own():
    """Only its own service is given it; without one, there is no secret at all."""
    secret = "Geheim-of-ai-toolkit"
    found = render("dhoch3", ai_toolkit_auth=secret)
    (one,) = [each for each in found.model.secrets if each.setting == "ai_toolkit_auth"]
    assert (one.path, one.owner) == ("/opt/stacks/dhoch3/secrets/ai_toolkit_auth", "2000:2000")
    users = [each.name for each in found.model.services if one.setting in each.secrets]
    assert users == ["ai-toolkit"]
    assert not [path for path, content in found.files.items() if secret.encode() in content]
    assert found.secret(one) == secret.encode()
    assert one.setting not in [each.setting for each in render("dhoch3").model.secrets]
