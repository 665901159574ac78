"""The credentials file of mount.cifs(8) and smbclient(1)."""

from __future__ import annotations

from workstation.errors import UserError


class CredentialsError(UserError):
    """The file's format does not support a value; the message names only the setting."""

    id = "smb-credentials"


def credentials_file(username: str, password: str, domain: str = "") -> bytes:
    """Return the content of the file.

    mount.cifs reads ``key=value`` lines and takes everything after ``=`` literally, up to the end
    of the line. It skips leading spaces of a line, not of a value, but documents that passwords
    with leading spaces are not supported (mount.cifs(8), option ``credentials``). All other
    characters are safe, including comma, quotes, ``#`` and ``%``.

    Raises CredentialsError for a value that the format does not support.
    """
    for name, value in (("SMB_USER", username), ("SMB_PASSWORD", password), ("SMB_DOMAIN", domain)):
        if any(character in value for character in "\n\r\0"):
            raise CredentialsError(
                f"{name} contains a line break or a NUL character, which mount.cifs does not "
                "support in a credentials file: choose another one on the server."
            )
        if value != value.strip():
            raise CredentialsError(
                f"{name} begins or ends with a space, which mount.cifs does not support in a "
                "credentials file: choose another one on the server."
            )
    if len(password.encode()) > 512:
        raise CredentialsError(
            "SMB_PASSWORD is longer than 512 bytes, the most that mount.cifs reads: choose a "
            "shorter one on the server."
        )
    lines = [f"username={username}", f"password={password}"]
    if domain:
        lines.append(f"domain={domain}")
    return ("\n".join(lines) + "\n").encode()
