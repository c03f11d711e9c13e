"""A plan that only moves, imports or forgets is applied for real: dropping its block later destroys nothing."""

from ray_platform.pull_requests.requests_now import PullRequestNow
from ray_platform.session.environment_session import open_session
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ray_platform_sandbox.aws.service import ensure_emulator, stop_emulator
from ray_platform.config.settings import Settings
from ray_platform.change.apply import AppliedPlan, apply_plan
from ray_platform.session.lock import change_lock
from ray_platform.change.make_plan import MadePlan, make_plan
from ray_platform.session.environment_session import EnvironmentSession
from tests.support.ports import free_port_base

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("environments", "policies", "helm", "kubernetes", "workloads", "terraform", "pyproject.toml")
HEAD = """
terraform {
  backend "s3" {}
}

variable "emulator" { type = bool }
variable "repository" { type = string }
variable "commit" { type = string }
"""
OLD = 'resource "terraform_data" "old" { input = "precious" }\n'
NEW = 'resource "terraform_data" "new" { input = "precious" }\n'
MOVED = "moved {\n  from = terraform_data.old\n  to   = terraform_data.new\n}\n"
REMOVED = "removed {\n  from = terraform_data.new\n  lifecycle { destroy = false }\n}\n"


class World:
    """A checkout with a Terraform root of a few lines, the emulator, and the stages of a change."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name)
            else:
                shutil.copy(source, self.root / name)
        for path in [*(self.root / "terraform").glob("*.tf")]:
            path.unlink()
        shutil.rmtree(self.root / "terraform" / "modules")
        (self.root / "terraform" / ".terraform.lock.hcl").write_text("", encoding="utf-8")
        self._git("init", "-q", "-b", "main")
        variables = {"RAY_PLATFORM_PORT_BASE": str(free_port_base())}
        self.settings = Settings(self.root, folder / "home", variables)

    def change(self, configuration: str) -> tuple[MadePlan, AppliedPlan]:
        """Commit a configuration, plan it and apply the plan through every gate."""
        main = self.root / "terraform" / "main.tf"
        main.write_text(HEAD + configuration, encoding="utf-8")
        self._git("add", "-A")
        self._git("commit", "-q", "-m", "A change")
        with dg.DagsterInstance.ephemeral() as instance:
            session = open_session(self.settings, "local", instance=instance, run_id="a-change")
            with change_lock(session, "plan", tell=print):
                made = make_plan(session, destroy=False, progress=print)
            session = open_session(self.settings, "local", instance=instance, run_id="a-change")
            return made, apply_plan(
                session, made.record.plan_digest, progress=print, request=PullRequestNow()
            )

    def addresses(self) -> set[str]:
        session = open_session(self.settings, "local")
        return set(session.terraform().state().resources)

    def serial(self) -> int:
        return open_session(self.settings, "local").terraform().state().serial

    def _git(self, *arguments: str) -> None:
        who = ["-c", "user.name=alice", "-c", "user.email=alice@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=self.root, check=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("state-only"))
    ensure_emulator(world.settings)
    yield world
    stop_emulator(world.settings)


def test_what_is_only_moved_imported_or_forgotten_is_applied(world: World) -> None:
    world.change(OLD)
    made, done = world.change(NEW + MOVED)
    assert not made.record.empty and made.record.counts["move"] == 1
    assert world.addresses() == {"terraform_data.new"}
    assert done.record.plan_digest == made.record.plan_digest

    # The later clean-up of the block: nothing to do, where it destroyed while the move was not applied.
    serial = world.serial()
    cleaned, _ = world.change(NEW)
    assert cleaned.record.empty and cleaned.plan.counts.total == 0
    assert world.serial() == serial

    forgotten, _ = world.change(REMOVED)
    assert not forgotten.record.empty and forgotten.record.counts["forget"] == 1
    assert world.addresses() == set()

    imported, _ = world.change(
        'import {\n  to = terraform_data.found\n  id = "11111111-2222-3333-4444-555555555555"\n}\n'
        'resource "terraform_data" "found" {}\n'
    )
    assert not imported.record.empty and imported.record.counts["import"] == 1
    assert world.addresses() == {"terraform_data.found"}
    stored = json.loads(json.dumps(imported.record.counts))
    assert stored["read"] == 0
