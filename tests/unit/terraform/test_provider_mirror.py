"""An unpacked provider mirror is found where it usually lies, and never taken by mistake."""

from pathlib import Path

import pytest

from ray_platform.terraform.provider_mirror import (
    PROVIDER_VERSION,
    find_provider_mirror,
    holds_provider,
    system,
)
from ray_platform.text.errors import SettingsError


def unpack(folder: Path, version: str = PROVIDER_VERSION) -> Path:
    place = folder / "registry.terraform.io/hashicorp/aws" / version / system()
    place.mkdir(parents=True)
    (place / f"terraform-provider-aws_v{version}_x5").touch()
    return folder


@pytest.mark.parametrize("below", ["", "plugins", "terraform/mirror"])
def test_a_mirror_is_found_in_an_add_on_folder_and_two_levels_below(
    below: str, tmp_path: Path
) -> None:
    mirror = unpack(tmp_path / "opt" / below)
    assert find_provider_mirror(folders=[str(tmp_path / "opt")]) == mirror


def test_a_mirror_deeper_down_or_of_another_version_is_not_taken(tmp_path: Path) -> None:
    unpack(tmp_path / "a/b/c")
    unpack(tmp_path / "d", version="5.99.0")
    assert find_provider_mirror(folders=[str(tmp_path), str(tmp_path / "absent")]) is None


def test_the_setting_is_used_alone(tmp_path: Path) -> None:
    usual, chosen = unpack(tmp_path / "usual"), unpack(tmp_path / "chosen")
    assert find_provider_mirror(str(chosen), folders=[str(usual)]) == chosen


def test_a_setting_that_names_no_mirror_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RAY_PLATFORM_PROVIDER_DIR"):
        find_provider_mirror(str(tmp_path))


def test_an_empty_folder_of_the_right_name_holds_no_provider(tmp_path: Path) -> None:
    unpack(tmp_path)
    for file in tmp_path.rglob("terraform-provider-aws*"):
        file.unlink()
    assert not holds_provider(tmp_path)
