"""Sees to it that the browser tests find a Chromium: the machine's own, or Debian's package."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The Chromium to test with: ``RAY_PLATFORM_CHROMIUM``, or one on the PATH."""
    named = os.environ.get("RAY_PLATFORM_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> None:
    if found := find():
        print(f"browser tests use {found}")
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("browser tests: installing Debian's package chromium", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False)
    if not find():
        print(
            "no Chromium: the browser tests will be SKIPPED. Install the package chromium, or name one "
            "with RAY_PLATFORM_CHROMIUM.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
