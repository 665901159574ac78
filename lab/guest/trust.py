"""Run once inside the new root file system: makes it trust the CAs of the machine that builds it.

Certificates in the bundle of that machine that Debian's own bundle lacks (for example a company
proxy's) become local ones, each in a file of its own, because update-ca-certificates requires that.
So they survive every later `update-ca-certificates`, whichever package calls it.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
OUTER = Path("/usr/local/share/outer-ca.pem")
LOCAL = Path("/usr/local/share/ca-certificates")


def certificates(bundle: Path) -> dict[str, str]:
    """Return the certificates of a PEM bundle, keyed by their text without white space."""
    return {"".join(pem.split()): pem for pem in PEM.findall(bundle.read_text())}


def main() -> None:
    """Add the missing certificates and rebuild the bundle."""
    known = certificates(Path("/etc/ssl/certs/ca-certificates.crt"))
    missing = [pem for key, pem in certificates(OUTER).items() if key not in known]
    LOCAL.mkdir(parents=True, exist_ok=True)
    for number, pem in enumerate(missing, start=1):
        (LOCAL / f"outer-{number:03}.crt").write_text(pem + "\n")
    subprocess.run(["update-ca-certificates"], check=True)
    OUTER.unlink()


if __name__ == "__main__":
    main()
