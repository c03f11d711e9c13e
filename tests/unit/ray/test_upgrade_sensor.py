"""The sensor that ends an old Ray cluster: asks where it should, once, and for nothing else."""

import re
import shutil
from pathlib import Path

import dagster as dg
import pytest

from ray_platform.config.settings import Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.defs import ray_upgrade_jobs
from ray_platform.ray.upgrade.drain import Due, now
from ray_platform.ray.upgrade.switch import Switch
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import KubernetesError

ROOT = Path(__file__).resolve().parents[3]
DRAINING = Switch().preparing(now()).switched(now(), now())


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A checkout whose `local` upgrades blue/green; staging and prod do too, and are not set up."""
    for folder in ("environments", "terraform/environments"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    file = tmp_path / "environments" / "local.toml"
    file.write_text(file.read_text().replace("[burst]", 'upgrade = "blue-green"\n\n[burst]', 1))
    settings = Settings(tmp_path, tmp_path / "home", {})
    monkeypatch.setattr(ray_upgrade_jobs, "load_settings", lambda: settings)
    monkeypatch.setattr(
        ray_upgrade_jobs, "running_services", lambda session: {"kubernetes": "https://127.0.0.1:1"}
    )
    return settings


def look() -> dg.SensorResult:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance)
        answer = ray_upgrade_jobs.drained_ray_clusters(context)
        assert answer is not None
        found = list(answer)  # type: ignore[arg-type]
    requests = [item for item in found if isinstance(item, dg.RunRequest)]
    skips = [item for item in found if isinstance(item, dg.SkipReason)]
    return dg.SensorResult(run_requests=requests or None, skip_reason=skips[0] if skips else None)


@pytest.mark.parametrize("found", [Due.END, Due.LATE])
def test_what_is_due_is_asked_for_as_a_change_of_its_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, found: Due
) -> None:
    asked: list[str] = []

    def due(session: EnvironmentSession) -> tuple[Due, Switch]:
        asked.append(session.name)
        return found, DRAINING

    monkeypatch.setattr(ray_upgrade_jobs, "due", due)
    (request,) = look().run_requests or []
    assert asked == ["local"]
    assert request.partition_key == "local"
    assert re.fullmatch(
        rf"ray-drain-local-[\w:+-]+-{found.name.lower()}-[\dT-]+", request.run_key or ""
    )
    assert request.tags["ray_platform/change"] == "local"
    assert look().run_requests[0].run_key == request.run_key  # type: ignore[index]


def test_nothing_due_or_an_api_that_is_away_asks_for_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_upgrade_jobs, "due", lambda session: (Due.NOTHING, DRAINING))
    assert not look().run_requests

    def away(session: EnvironmentSession) -> None:
        raise KubernetesError("the Kubernetes API does not answer")

    monkeypatch.setattr(ray_upgrade_jobs, "due", away)
    answer = look()
    assert not answer.run_requests
    assert "no Ray cluster has been drained" in str(answer.skip_reason)


def test_nothing_is_started_to_look_at_a_cluster_of_this_machine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_upgrade_jobs, "running_services", lambda session: {"kubernetes": None})
    assert not look().run_requests


def test_a_place_without_such_environments_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(ROOT, ROOT / "nowhere", {})
    monkeypatch.setattr(ray_upgrade_jobs, "load_settings", lambda: settings)
    assert re.search("no environment has ray.upgrade", str(look().skip_reason))


def test_an_environments_wish_is_the_sites_unless_a_run_says_otherwise(settings: Settings) -> None:
    assert open_session(settings, "local").ray_upgrade == UpgradeWish("blue-green", 3600.0)
    wish = UpgradeWish("in-place", waits=True)
    assert open_session(settings, "local", ray_upgrade=wish).ray_upgrade == wish
