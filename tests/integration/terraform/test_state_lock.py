"""An apply that is killed in the middle frees its locks by itself: the real Terraform, a small root."""

from ray_platform.session.environment_session import open_session
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_platform.terraform.state_bucket_store import ensure_state_bucket
from ray_platform.text.errors import BusyError, TerraformError
from ray_platform_sandbox.aws.service import Emulator
from ray_platform.session.lock import change_lock
from ray_platform.config.settings import Settings
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.lease import Owner
from ray_platform.store.lease_store import EnvironmentLease
from ray_platform.store.process_table import process_started, this_host, user_name
from ray_platform.terraform.state_lock_store import read_lock
from tests.integration.conftest import ROOT

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]

_MAIN = """
variable "emulator" {}
variable "repository" {}
variable "commit" {}

resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "sh ../step.sh"
  }
}
"""

#: A platform of its own: what is killed below.
_APPLY = """
import sys
from pathlib import Path
from tests.integration.terraform.test_state_lock import apply, session_in
apply(session_in(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
"""


def session_in(root: Path, home: Path, port: int) -> EnvironmentSession:
    settings = Settings(root, home, {"RAY_PLATFORM_PORT_BASE": str(port)})
    return open_session(settings, "crash", asked_by="ann by command", run_id="5b")


def apply(session: EnvironmentSession) -> list[str]:
    """Plan and apply, as the stages do; what was told."""
    said: list[str] = []
    with change_lock(session, "apply", tell=said.append, wait_seconds=0):
        terraform = session.terraform(said.append)
        terraform.init()
        out = session.home / "crash.tfplan"
        terraform.plan(out)
        terraform.apply(out)
    return said


@pytest.fixture
def place(
    tmp_path: Path, emulator_settings: Settings, emulator: Emulator
) -> tuple[Path, Path, int]:
    """(a checkout with a small root, a home, the emulator's port)."""
    root = tmp_path / "checkout"
    (root / "terraform" / "environments").mkdir(parents=True)
    (root / "environments").mkdir()
    toml = (ROOT / "environments" / "local.toml").read_text(encoding="utf-8")
    bucket = f"crash-{os.urandom(4).hex()}"
    toml = toml.replace("ray-platform-state-local", bucket)
    (root / "environments" / "crash.toml").write_text(toml, encoding="utf-8")
    (root / "terraform" / "main.tf").write_text(_MAIN, encoding="utf-8")
    shutil.copy2(ROOT / "terraform" / "backend.tf", root / "terraform")
    (root / "terraform" / ".terraform.lock.hcl").touch()
    variables = root / "terraform" / "environments" / "crash.tfvars"
    variables.write_text('region = "us-east-1"\n', encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "--all"], [*_IDENTITY, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    ensure_state_bucket(emulator.client("s3"), bucket, "us-east-1")
    return root, emulator_settings.home, emulator.port


_IDENTITY = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]


def until(happened: Callable[[], Any], *, alive: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert alive.poll() is None and time.monotonic() < deadline, alive.communicate()
        time.sleep(0.02)


def owner_of(session: EnvironmentSession) -> Owner | None:
    return EnvironmentLease(session.artifacts.store, session.name).read()[0].owner


def lock_of(session: EnvironmentSession) -> Any:
    state = session.environment.state
    return read_lock(session.aws("s3"), state.bucket, state.key)


def test_an_apply_killed_with_its_terraform_is_taken_up_by_the_next_without_a_human(
    place: tuple[Path, Path, int],
) -> None:
    root, home, port = place
    step = root / "step.sh"
    step.write_text(
        f"touch {root}/begun\nwhile test ! -e {root}/go; do sleep 0.02; done\n", encoding="utf-8"
    )
    platform = subprocess.Popen(
        [sys.executable, "-c", _APPLY, str(root), str(home), str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until((root / "begun").exists, alive=platform)
    session = session_in(root, home, port)
    owner = owner_of(session)
    assert owner is not None and owner.child is not None
    assert (owner.pid, owner.child.call) == (platform.pid, "apply")
    held = lock_of(session).lock
    assert held.who == f"{user_name()}@{this_host().name}"

    platform.kill()
    platform.communicate()
    with pytest.raises(BusyError, match="terraform finishes"):
        apply(session)
    os.kill(owner.child.pid, signal.SIGKILL)
    gone = owner.child.pid
    deadline = time.monotonic() + 30
    while process_started(gone) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lock_of(session).lock == held  # nobody has freed it
    (root / "go").touch()

    said = apply(session)
    assert any(line.startswith("Took the environment over from apply") for line in said)
    assert any(line.startswith(f"Freed the state's lock {held.id}") for line in said)
    assert any("terraform_data.slow: Creation complete" in line for line in said)
    assert lock_of(session) is None
    assert owner_of(session) is None
    unlocks = [r.event for r in session.audit.records() if r.event.action == "unlock"]
    assert [event.decision for event in unlocks] == ["taken over", "state freed"]
    assert held.id in unlocks[1].reason


def test_a_terraform_that_is_killed_alone_leaves_no_lock(place: tuple[Path, Path, int]) -> None:
    root, home, port = place
    session = session_in(root, home, port)
    (root / "step.sh").write_text("kill -9 $PPID\n", encoding="utf-8")
    with pytest.raises(TerraformError):
        apply(session)
    assert lock_of(session) is None
    assert owner_of(session) is None
    (root / "step.sh").write_text("true\n", encoding="utf-8")
    assert any("terraform_data.slow: Creation complete" in line for line in apply(session))
