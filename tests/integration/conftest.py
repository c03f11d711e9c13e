"""Expensive things that real tests share: a running emulator, and `local` applied in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray_platform_sandbox.aws.service import Emulator, ensure_emulator, stop_emulator
from ray_platform_sandbox.github.client.caller import Sent
from ray_platform_sandbox.github.client.testing import LocalGitHub, reset

from ray_platform.config.settings import Settings
from ray_platform.terraform.state_bucket_store import ensure_state_bucket
from ray_platform.terraform.terraform_client import PlanOutput, Terraform
from tests.support.checkout import Checkout, Walked
from tests.support.openapi import check_answer
from tests.support.ports import free_port_base

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class AppliedLocal:
    """`local`, applied from nothing. Who changes the emulator puts it back.

    ``terraform`` carries the commit that was applied; ``first_plan`` is the plan that created everything.
    """

    settings: Settings
    emulator: Emulator
    terraform: Terraform
    first_plan: PlanOutput
    progress: tuple[str, ...]

    def at_commit(self, commit: str) -> Terraform:
        """Terraform on the same environment, at another commit."""
        return make_terraform(self.settings, self.emulator, "local", commit=commit)


def make_settings(home: Path, port: int | None = None) -> Settings:
    """Settings of this checkout with a home and ports of its own."""
    return Settings(ROOT, home, {"RAY_PLATFORM_PORT_BASE": str(port or free_port_base())})


def make_terraform(
    settings: Settings, emulator: Emulator, name: str, *, commit: str = "0a1b2c3"
) -> Terraform:
    """Terraform on one environment against the emulator, its state bucket made."""
    environment = settings.environment(name)
    ensure_state_bucket(emulator.client("s3"), environment.state.bucket, environment.region)
    return Terraform(
        settings, environment, env=emulator.env, commit=commit, repository="ray-platform"
    )


@pytest.fixture(scope="session")
def emulator_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def emulator(emulator_settings: Settings) -> Iterator[Emulator]:
    """A running AWS emulator in a home of its own."""
    yield ensure_emulator(emulator_settings)
    stop_emulator(emulator_settings)


@pytest.fixture(scope="session")
def applied_local(
    emulator_settings: Settings, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AppliedLocal:
    """The `local` environment, planned and applied from nothing."""
    said: list[str] = []
    environment = emulator_settings.environment("local")
    ensure_state_bucket(emulator.client("s3"), environment.state.bucket, environment.region)
    terraform = Terraform(
        emulator_settings,
        environment,
        env=emulator.env,
        commit="0a1b2c3",
        repository="ray-platform",
        progress=said.append,
    )
    terraform.init()
    plan = terraform.plan(tmp_path_factory.mktemp("plans") / "first.tfplan")
    terraform.apply(plan.file)
    return AppliedLocal(emulator_settings, emulator, terraform, plan, tuple(said))


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    """`ray-platform up` in a fresh checkout, as a newcomer runs it."""
    checkout = Checkout(tmp_path_factory.mktemp("walk"), free_port_base())
    try:
        # As `make up GITHUB=local` does: the App is known before anything stands.
        prepared = checkout.run("github", "local", "--set-up", "--json")
        assert prepared.code == 0, prepared.err
        done = checkout.run("up", "--json")
        assert done.code == 0, done.err
        yield Walked(checkout, checkout.head(), done.json)
    finally:
        ended = checkout.run("down")
        assert ended.code == 0, ended.err


@pytest.fixture(scope="session")
def running_github() -> Iterator[LocalGitHub]:
    with LocalGitHub() as running:
        yield running


@pytest.fixture
def github(running_github: LocalGitHub) -> Iterator[LocalGitHub]:
    """A GitHub server whose answers must all be such as GitHub's own description allows.

    Its repositories are the test's own by their names; clock, limits, faults and counts are set back.
    """
    answers: list[tuple[str, str, str, Sent]] = []
    running_github.hub.answered = lambda *answer: answers.append(answer)
    running_github.calls.reset()
    yield running_github
    running_github.do(reset)
    wrong = []
    for method, template, path, sent in answers:
        try:
            check_answer(method, template, path, sent.status, sent.headers, sent.body)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
