"""The credentials file of mount.cifs(8) and smbclient(1)."""

from __future__ import annotations

from workstation.errors import UserError


class CredentialsError(UserError):
    """A value cannot be written in the file's format; the message names it, never its content."""


def credentials_file(username: str, password: str, domain: str = "") -> bytes:
    """Return the content of the file.

    mount.cifs reads ``key=value`` lines, takes everything behind ``=`` as it stands and cuts at
    the line's end; it skips leading blanks of a line, not of a value, but documents that a
    password with leading spaces is not supported (mount.cifs(8), option ``credentials``). Any
    other character, comma, quote, ``#`` and ``%`` included, is safe here.

    Raises CredentialsError for a value that the format cannot hold.
    """
    for name, value in (("SMB_USER", username), ("SMB_PASSWORD", password), ("SMB_DOMAIN", domain)):
        if any(character in value for character in "\n\r\0"):
            raise CredentialsError(
                f"{name} contains a line break or a NUL, which a credentials file of mount.cifs "
                "cannot hold: choose another on the server."
            )
        if value != value.strip():
            raise CredentialsError(
                f"{name} begins or ends with a blank, which mount.cifs does not support in a "
                "credentials file: choose another on the server."
            )
    if len(password.encode()) > 512:
        raise CredentialsError("SMB_PASSWORD is longer than the 512 bytes that mount.cifs reads.")
    lines = [f"username={username}", f"password={password}"]
    if domain:
        lines.append(f"domain={domain}")
    return ("\n".join(lines) + "\n").encode()
