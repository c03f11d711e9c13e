"""Sees to it that the tests find what they need besides: Chromium, PostgreSQL, GitHub's descriptions, OPA.

Programs are those of the machine or Debian packages. The descriptions come from npm: see
`tests/support/published.py`. OPA's library comes from PyPI: see `tests/support/opa.py`.

Run by ``make test`` as ``python -m tests.support.set_up``.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from tests.support import opa, published
from tests.support.postgres import SETTING, find_postgres

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The Chromium to test with: ``RAY_PLATFORM_CHROMIUM``, or one on the PATH."""
    named = os.environ.get("RAY_PLATFORM_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def ensure(what: str, package: str, find: Callable[[], object], otherwise: str) -> None:
    """Look for a program, install Debian's package for it where that can be done, or say what follows."""
    if found := find():
        print(f"{what}: {found}")
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print(f"{what}: installing Debian's package {package}", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", package], check=False)
    if not find():
        print(f"no {what}: {otherwise}", file=sys.stderr)


def main() -> None:
    ensure(
        "Chromium",
        "chromium",
        find_chromium,
        "the browser tests will be SKIPPED. Install the package chromium, or name one with "
        "RAY_PLATFORM_CHROMIUM.",
    )
    ensure(
        "PostgreSQL",
        "postgresql",
        find_postgres,
        f"the tests of Dagster's history on it will FAIL. Install the package postgresql, or set "
        f"{SETTING}=skip to skip them.",
    )
    ensure(
        "npm",
        "npm",
        lambda: shutil.which("npm"),
        "the tests of the local GitHub against GitHub's own descriptions will FAIL. Install npm.",
    )
    for package in published.PACKAGES:
        try:
            print(f"{package.name} {package.version}: {published.fetch(package)}")
        except AssertionError as error:
            print(f"tests of the local GitHub will FAIL: {error}", file=sys.stderr)
    if why := opa.missing():
        print(f"the policies' contract with OPA will be SKIPPED: {why}", file=sys.stderr)
    else:
        print(f"OPA {opa.OPA_VERSION}: {opa.LIBRARY}")


if __name__ == "__main__":
    main()
