"""Running the jobs of the code location from the command, in this process, against Dagster's storage."""

import functools
import getpass
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import dagster as dg
from dagster._core.execution.plan.objects import UserFailureData
from dagster._core.instance import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from ray_platform.config.partitions import ASKED_BY_TAG, CODE_LOCATION
from ray_platform.config.settings import load_settings
from ray_platform.defs.facts import POLICY_CHECK, PolicyFacts
from ray_platform.defs.progress import stdout_as_progress
from ray_platform.policy.verdict import Violation
from ray_platform.store.failure_facts import FailureFacts
from ray_platform.store.typed_facts import Facts
from ray_platform.text.errors import PlatformError, Refused

#: Which process a run of the command lives in, so that a later command can tell a dead run from a live one.
#: It names the run too: Dagster copies the tags of a run that is re-executed in the UI.
PROCESS_TAG = "ray_platform/process"
#: How often the daemon re-executes a run whose process was lost. A person started this one, and reruns it.
_RETRIES_TAG = "dagster/max_retries"


F = TypeVar("F", bound=Facts)


@dataclass(frozen=True)
class Check:
    """One asset check of a run."""

    asset: str
    name: str
    passed: bool
    description: str
    metadata: Mapping[str, Any]

    def facts(self, kind: type[F], run_id: str) -> F:
        """What the check stored of its result. Raises `FactsError` where it cannot be read."""
        return kind.from_metadata(self.metadata, where=f"check {self.name}, run {run_id}")


@dataclass(frozen=True)
class JobOutcome:
    """What a run of a job came to. ``metadata`` is that of its materializations, by asset."""

    run_id: str
    success: bool
    checks: tuple[Check, ...]
    metadata: Mapping[str, Mapping[str, Any]]
    failure: PlatformError | None

    def facts(self, asset: str, kind: type[F]) -> F:
        """The facts of the asset's materialization in this run.

        Args:
            asset: Its name.
            kind: The class of its facts.

        Raises:
            PlatformError: the run failed before it made the asset.
            FactsError: it made none although it did not fail, or its facts cannot be read.
        """
        if asset not in self.metadata:
            self.require()
        where = f"{asset}, run {self.run_id}"
        return kind.from_metadata(self.metadata.get(asset, {}), where=where)

    def check(self, name: str) -> "Check | None":
        """The result of a check; None where the run did not get to it."""
        return next((check for check in self.checks if check.name == name), None)

    def require(self) -> "JobOutcome":
        """Itself when it went well.

        Raises:
            PlatformError: what made it fail, with its exit code.
        """
        if self.failure is not None:
            raise self.failure
        return self


class _RunFailed(PlatformError):
    """A stage's own failure, as Dagster recorded it."""


class _RunRefused(Refused):
    """A stage's or a blocking check's no."""


@functools.cache
def open_instance() -> dg.DagsterInstance:
    """Dagster's storage: the one of ``DAGSTER_HOME`` where it is set, else the one in the home.

    `dagster dev` in the checkout reads the same dagster.yaml and so the same storage.

    Raises:
        LocalServiceError: the storage is PostgreSQL, which is not installed or does not start.
    """
    if os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.get()
    settings = load_settings()
    base = settings.home / "dagster"
    base.mkdir(parents=True, exist_ok=True)
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(base), config_dir=str(settings.root))
    )


def run_job(
    name: str,
    *,
    partition: str,
    tags: Mapping[str, str] | None = None,
    ops: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> JobOutcome:
    """Run a job of the code location and wait for it; progress goes to stderr.

    Args:
        name: The job's name.
        partition: Its partition key.
        tags: Run tags.
        ops: The configuration of the job's ops, by op.
        quiet: Say nothing but warnings.
    """
    from ray_platform.definitions import defs

    instance = open_instance()
    _bury_dead_runs(instance)
    level = logging.WARNING if quiet else logging.INFO
    config = {
        "loggers": {"progress": {"config": {"level": level}}},
        "ops": {op: {"config": dict(values)} for op, values in (ops or {}).items()},
    }
    with stdout_as_progress():
        result = execute(
            defs().resolve_job_def(name),
            instance,
            partition,
            {**_own_tags(), **(tags or {})},
            config,
        )
    checks = tuple(
        Check(
            asset=event.asset_key.to_user_string(),
            name=event.check_name,
            passed=event.passed,
            description=event.description or "",
            metadata={key: value.value for key, value in event.metadata.items()},
        )
        for event in result.get_asset_check_evaluations()
    )
    metadata: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        metadata[made.asset_key.to_user_string()] = {
            key: value.value for key, value in made.metadata.items()
        }
    return JobOutcome(
        run_id=result.run_id,
        success=result.success,
        checks=checks,
        metadata=metadata,
        failure=None if result.success else _failure(result, checks),
    )


def execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    partition: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
) -> dg.ExecuteInProcessResult:
    """Run a job in this process as a run of the code location.

    ``JobDefinition.execute_in_process`` makes a run that belongs to no code location: the UI lists it
    under Runs, but neither on the timeline nor under its job.
    """
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run_iterator
    from dagster._core.execution.execute_in_process import merge_run_tags
    from dagster._core.utils import make_new_run_id

    run_id = make_new_run_id()
    run = instance.create_run_for_job(
        job_def=job,
        run_id=run_id,
        run_config=config,
        tags=merge_run_tags(
            job, partition, {**tags, PROCESS_TAG: _process(run_id)}, None, instance, config
        ),
        remote_job_origin=_code_location().get_job_origin(job.name),
    )
    events = list(execute_run_iterator(InMemoryJob(job), run, instance))
    ended = instance.get_run_by_id(run_id) or run
    return dg.ExecuteInProcessResult(
        event_list=events, dagster_run=ended, output_capture={}, job_def=job
    )


def _code_location() -> RemoteRepositoryOrigin:
    """What the UI knows the code location by: the names of the location and of its repository."""
    from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME

    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="ray_platform.definitions"
    )
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=CODE_LOCATION)
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)


def _own_tags() -> dict[str, str]:
    return {ASKED_BY_TAG: asker(), _RETRIES_TAG: "0"}


def asker() -> str:
    """Who runs the command, as the machine knows them."""
    try:
        return f"{getpass.getuser()} by command"
    except (KeyError, OSError):  # no name for this user, as in a container with a random one
        return f"user {os.getuid()} by command"


def _failure(result: dg.ExecuteInProcessResult, checks: tuple[Check, ...]) -> PlatformError:
    for event in result.filter_events(lambda event: event.is_step_failure):
        data = event.step_failure_data
        if data.user_failure_data is not None:
            return _stage_failure(data.user_failure_data, result.run_id)
        denied = [check for check in checks if not check.passed]
        if denied and data.error and "AssetCheckFailed" in str(data.error.cls_name):
            return _denial(denied, result.run_id)
        if data.error:
            error = data.error.cause or data.error
            return _RunFailed(
                f"step {event.step_key} failed: {error.message.strip()}",
                where=f"run {result.run_id}",
                fix="this is a failure that the platform does not know: see the run's log, report it",
            )
    return _RunFailed("the run failed without a reason", where=f"run {result.run_id}")


def _stage_failure(data: UserFailureData, run_id: str) -> PlatformError:
    """A stage's failure as it was raised; one that is not a stage's has only its description."""
    where = f"run {run_id}"
    facts = FailureFacts.found_in(data.metadata, where=where)
    if facts is None:
        return _RunFailed(data.description or "the run failed without a reason", where=where)
    kind = _RunRefused if facts.exit_code == Refused.exit_code else _RunFailed
    return kind(facts.what, where=facts.where, fix=facts.fix)


def _denial(denied: list[Check], run_id: str) -> PlatformError:
    """One message for the checks that said no: each violation of a policy, each check's own words."""
    said, fixes = [], []
    for check in denied:
        violations: tuple[Violation, ...] = ()
        if check.name == POLICY_CHECK:
            violations = check.facts(PolicyFacts, run_id).violations
        for item in violations:
            said.append(f"[{item.id}] {item.resource}: {item.message}")
            fixes.append(item.fix)
        if not violations:
            said.append(f"{check.name}: {check.description or 'no'}")
    return _RunRefused(
        "; ".join(said),
        where=", ".join(sorted({check.asset for check in denied})),
        fix="; ".join(dict.fromkeys(fixes)) or f"the checks' metadata in run {run_id} says more",
    )


def _process(run_id: str) -> str:
    return f"{os.uname().nodename}:{run_id}:{os.getpid()}:{_started(os.getpid())}"


def _started(pid: int) -> str:
    from ray_platform.store.process_table import process_started

    return process_started(pid) or ""


def _bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """Runs of the command whose process is gone (kill -9, a reboot) are marked as failed."""
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(started):
        here = f"{os.uname().nodename}:{run.run_id}:"
        said = run.tags.get(PROCESS_TAG, "")
        if not said.startswith(here):
            continue
        pid, _, begun = said.removeprefix(here).partition(":")
        if not pid.isdigit() or _started(int(pid)) != begun:
            instance.report_run_failed(run, "the command's process ended without a word")
