"""Nobody else reads what the platform keeps on a machine."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_platform.config.repository import Repository
from ray_platform.config.settings import keep_private, load_settings
from ray_platform.git.mirror_store import GitMirror


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights_of_others(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & 0o077


@pytest.mark.usefixtures("open_umask")
def test_a_home_that_others_could_read_is_closed_with_its_folders(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("dagster/storage", "mirrors", "checkouts", "github-app", "local"):
        (home / name).mkdir(parents=True)
    (home / "link").symlink_to(tmp_path)
    opened = stat.S_IMODE(tmp_path.stat().st_mode)
    assert rights_of_others(home)
    keep_private(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [f.name for f in home.iterdir() if not f.is_symlink() and rights_of_others(f)] == []
    assert stat.S_IMODE(tmp_path.stat().st_mode) == opened  # not what a link leads to


@pytest.mark.usefixtures("open_umask")
def test_what_is_written_afterwards_is_closed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(home))
    load_settings.cache_clear()
    load_settings()
    load_settings.cache_clear()
    assert not home.exists()  # looking at the settings makes nothing
    mirror = GitMirror(home, Repository("a", "b"), url="file:///nowhere", token=lambda _write: "")
    with mirror.writing():
        pass
    log = home / "dagster" / "storage" / "compute.out"
    log.parent.mkdir(parents=True)
    log.write_text("a log")
    made = [home, *home.rglob("*")]
    assert len(made) > 5
    assert [path for path in made if rights_of_others(path)] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a PostgreSQL of another user")
def test_a_database_server_of_another_user_may_pass_and_read_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "postgres").mkdir(parents=True)
    (home / "dagster").mkdir()
    home.chmod(0o755)
    keep_private(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o711
    assert rights_of_others(home / "dagster") == 0
