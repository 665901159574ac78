"""The credentials file: every password that mount.cifs can read arrives unchanged."""

from __future__ import annotations

import pytest

from workstation.mounts.credentials import CredentialsError, credentials_file


def read_by_mount(content: bytes) -> dict[str, str]:
    """Read the file like mount.cifs does: ``key=value``, where the value is everything from the
    first ``=`` to the end."""
    lines = content.decode().split("\n")
    assert lines.pop() == ""
    return dict(line.partition("=")[::2] for line in lines)


@pytest.mark.parametrize(
    "password",
    [
        "p$word${HOME}`id`",
        'double"quote',
        "single'quote",
        "comma,separated,ro,uid=0",
        "#begins with a hash",
        "100%%",
        "two  blanks inside",
        "=begins=with=equals",
        "back\\slash\\n",
        "Größe-ÄÖÜß-€",
        "domain=evil",
        "a tab\tinside",
        "",
    ],
)
def test_a_password_is_written_as_it_is(password: str):
    """No quoting, no escaping: mount.cifs takes the characters literally."""
    read = read_by_mount(credentials_file("d3", password))
    assert read == {"username": "d3", "password": password}


def test_the_domain_has_a_line_only_if_there_is_one():
    """An empty ``domain=`` would be sent to the server."""
    assert credentials_file("d3", "x", "BÜRO") == "username=d3\npassword=x\ndomain=BÜRO\n".encode()
    assert b"domain" not in credentials_file("d3", "x")


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "a\0b", "\na", "a\n", "a\npassword=other", "a\r\n"]
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_line_break_is_refused_by_name(value: str, position: int):
    """It would become a line of its own; the message never repeats a value."""
    arguments = ["d3", "s3cret", "BUERO"]
    arguments[position] = value
    with pytest.raises(CredentialsError) as caught:
        credentials_file(*arguments)
    message = str(caught.value)
    assert message.startswith(("SMB_USER", "SMB_PASSWORD", "SMB_DOMAIN")[position])
    assert "s3cret" not in message
    assert value not in message
    assert message.endswith(".")


@pytest.mark.parametrize("password", [" leading", "trailing ", "\ttab", "   "])
def test_blanks_at_the_ends_are_refused(password: str):
    """mount.cifs(8) does not support them; silently losing one would look like a wrong password."""
    with pytest.raises(CredentialsError, match=r"^SMB_PASSWORD begins or ends with a space"):
        credentials_file("d3", password)


def test_the_length_is_counted_in_bytes():
    """mount.cifs reads at most 512 bytes of UTF-8."""
    credentials_file("d3", "x" * 512)
    with pytest.raises(CredentialsError, match="longer than 512 bytes"):
        credentials_file("d3", "ü" * 257)
