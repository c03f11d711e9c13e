"""What GitHub publishes about itself, from npm: its OpenAPI description and its webhooks' example payloads.

Each package is pinned, fetched once by ``npm pack`` and checked against its hash; the one file that is
needed of it is kept beside the installed dependencies.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(sys.prefix) / ".published"


@dataclass(frozen=True)
class Package:
    """An npm package, the integrity that the registry states for it, and the file that is kept."""

    name: str
    version: str
    integrity: str
    member: str

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name.replace('/', '-').lstrip('@')}-{self.version}.json"


OPENAPI = Package(
    "@octokit/openapi",
    "23.0.2",
    "sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==",
    "package/generated/api.github.com.json",
)
WEBHOOKS = Package(
    "@octokit/webhooks-examples",
    "7.6.1",
    "sha512-De6U3XB6O3DtCa7bKgCMzTHdeopqqZ6SNivMYJnK65ierKL1AnNIA0tkRYCRS7lwGT792d+Ps1WbfHlso6MynQ==",
    "package/api.github.com/index.json",
)
PACKAGES = (OPENAPI, WEBHOOKS)


def read(package: Package) -> Any:
    """The content of a package's file, fetched where it is not there yet.

    Raises:
        AssertionError: it cannot be fetched, or is not what was pinned.
    """
    return json.loads(fetch(package).read_bytes())


def fetch(package: Package) -> Path:
    """The file of a package; written beside and renamed, so that it is whole or absent.

    Raises:
        AssertionError: as `read`.
    """
    if package.file.exists():
        return package.file
    wanted = f"{package.name}@{package.version}"
    assert shutil.which("npm"), (
        f"{wanted} is needed and there is no npm: install the package npm and run "
        "`python -m tests.support.set_up`"
    )
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        done = subprocess.run(
            ["npm", "pack", wanted, "--silent", "--ignore-scripts", "--pack-destination", folder],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"npm pack {wanted} failed: {done.stderr.strip()}"
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert f"sha512-{found}" == package.integrity, f"{wanted} is not what was pinned"
        with tarfile.open(archive) as tar:
            member = tar.extractfile(package.member)
            assert member is not None, f"{wanted} has no {package.member}"
            beside = Path(folder) / "content"
            beside.write_bytes(member.read())
        beside.replace(package.file)
    return package.file
