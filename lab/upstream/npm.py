"""The mirror's npm registry: stand-in packages that AI-Toolkit's web interface depends on."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from lab.upstream.files import STANDINS, Tar, write

STAND_INS = ["npm packages prisma, @prisma/client and next: small programs with the same commands"]


def build(root: Path) -> dict[str, dict[str, str]]:
    """Write the packages below ``<root>/npm``; return name -> {version, integrity}."""
    folder = root / "npm"
    found = {}
    for source in sorted((STANDINS / "npm").glob("*/package.json")):
        manifest = json.loads(source.read_text())
        name, version = manifest["name"], manifest["version"]
        tar = Tar()
        tar.tree("package", source.parent)
        data = tar.gzipped()
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        write(folder / name / "-" / file, data)
        manifest["dist"] = {
            "integrity": f"sha512-{digest}",
            "tarball": f"{name}/-/{file}",
            "shasum": hashlib.sha1(data).hexdigest(),
        }
        write(folder / name / "manifest.json", json.dumps(manifest))
        found[name] = {
            "version": version,
            "integrity": f"sha512-{digest}",
            "file": file,
            "bin": json.dumps(manifest.get("bin", {})),
        }
    return found


def document(folder: Path, name: str, base: str) -> dict[str, Any] | None:
    """Return a package's registry document with tarballs below the URL ``base``, or None."""
    path = folder / name / "manifest.json"
    if ".." in name or not path.is_file():
        return None
    manifest = json.loads(path.read_text())
    manifest["dist"]["tarball"] = f"{base}/{manifest['dist']['tarball']}"
    version = manifest["version"]
    return {
        "name": manifest["name"],
        "dist-tags": {"latest": version},
        "versions": {version: manifest},
    }
