"""Finds an unpacked mirror of the AWS provider on this machine, so that 700 MB need no download.

A mirror is a folder that holds ``registry.terraform.io/hashicorp/aws/VERSION/OS_ARCH/``:
https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation
"""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from ray_platform.text.errors import SettingsError

PROVIDER = "hashicorp/aws"
PROVIDER_VERSION = "5.100.0"
#: Terraform searches the first ones by itself, but `-plugin-dir` needs the very folder.
USUAL_FOLDERS = (
    "~/.terraform.d",
    "~/.local/share",
    "/usr/local/share",
    "/usr/share",
    "/opt",
    "/usr/local/lib",
    "/usr/lib",
    "/var/lib",
)
#: How many folders below each of the usual ones are looked into.
MOST_FOLDERS = 2000

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


def find_provider_mirror(
    setting: str = "", *, folders: Sequence[str] = USUAL_FOLDERS
) -> Path | None:
    """The folder to give to ``terraform init -plugin-dir``, or None: then init downloads.

    Args:
        setting: ``RAY_PLATFORM_PROVIDER_DIR``; used alone when it is not empty.
        folders: Where to look otherwise: in each one, and one and two levels below it.

    Raises:
        SettingsError: the setting names a folder that is no mirror of the pinned provider.
    """
    if setting:
        folder = Path(setting).expanduser().resolve()
        if holds_provider(folder):
            return folder
        raise SettingsError(
            f"RAY_PLATFORM_PROVIDER_DIR holds no {PROVIDER} {PROVIDER_VERSION} for {system()}",
            where=str(folder / _layout()),
            fix="name the folder that holds registry.terraform.io/, or unset it to download",
        )
    for usual in folders:
        for folder in _below(Path(usual).expanduser()):
            if holds_provider(folder):
                return folder
    return None


def holds_provider(folder: Path) -> bool:
    """Whether the folder is an unpacked mirror of the pinned provider for this machine."""
    try:
        return any((folder / _layout()).glob("terraform-provider-aws*"))
    except OSError:
        return False


def system() -> str:
    """This machine in Terraform's spelling, such as linux_amd64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_ARCHITECTURES.get(machine, machine)}"


def _layout() -> Path:
    return Path("registry.terraform.io") / PROVIDER / PROVIDER_VERSION / system()


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    left = MOST_FOLDERS
    level = [folder]
    for _ in range(2):
        following = []
        for parent in level:
            for child in _folders_in(parent):
                left -= 1
                if left < 0:
                    return
                yield child
                following.append(child)
        level = following


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return []
