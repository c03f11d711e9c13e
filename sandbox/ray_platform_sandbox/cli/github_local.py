"""`ray-platform github local`: the whole pull request flow on this machine, with a GitHub of its own."""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ray_platform.cli.output import json_option, print_json, say
from ray_platform.cli.run_jobs import JobOutcome, run_job
from ray_platform.config.partitions import CHANGE_TAG, COMMIT_TAG, PLAN_TAG
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings, load_settings
from ray_platform.git.git_client import Git
from ray_platform.github.model import PullRef
from ray_platform.hcl.hcl_text import block, with_entry, with_value
from ray_platform.pull_requests.comment import MARKER
from ray_platform.pull_requests.connection import connect, tags_of
from ray_platform.pull_requests.polling.watched import look_at_all
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.pull_requests.report import PlanReport
from ray_platform.records.records_store import PlanRecord
from ray_platform.run_history.asset_facts import BurstFacts
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotFoundError, PlatformError, Refused
from ray_platform_sandbox.github.client.person import GitHubRefused
from ray_platform_sandbox.github.service import GitHubService, ensure_github

ENVIRONMENT = "local"
REPOSITORY = Repository("acme", "ml-platform")
AUTHOR, REVIEWERS = "alice", ("bob", "carol")
_TEAM = "platform"
_VARIABLES = f"terraform/environments/{ENVIRONMENT}.tfvars"
_SETTINGS = f"environments/{ENVIRONMENT}.toml"
_MOST_LOOKS = 6

_SPOT = ("node_pools", "spot")
_POOL = """  spot = {
    instance_types = ["m5.xlarge"]
    capacity_type  = "SPOT"
    min_size       = 0
    max_size       = 2
  }
"""


@dataclass(frozen=True)
class Stage:
    """The repository on the local GitHub, and the pull request that is played through."""

    settings: Settings
    service: GitHubService
    ref: PullRef

    @property
    def url(self) -> str:
        return f"{self.service.url}/{self.ref.repository}/pull/{self.ref.number}"

    @property
    def session(self) -> EnvironmentSession:
        return open_session(self.settings, ENVIRONMENT)


@click.command()
@click.option(
    "--set-up", "set_up_only", is_flag=True, help="Only start the server and set up the App."
)
@json_option
def local(set_up_only: bool, as_json: bool) -> None:
    """Play a pull request on a local GitHub.

    The command opens a pull request, plans it, collects two approvals, applies it and trains on it.
    It needs the resources of `ray-platform up`. Each call opens another pull request.

    \b
    Examples:
      ray-platform github local
      make up GITHUB=local
    """
    service = set_up(load_settings())
    settings = load_settings()
    if set_up_only:
        said = {"url": f"{service.url}/{REPOSITORY}", "repository": str(REPOSITORY)}
        print_json(said) if as_json else say(f"a GitHub of this machine: {said['url']}")
        return
    if open_session(settings, ENVIRONMENT).records.applied() is None:
        raise NotFoundError(
            f"nothing is applied in {ENVIRONMENT}, so there is nothing that a pull request could change",
            fix="make up GITHUB=local",
        )
    answer = play(settings, service, quiet=as_json)
    if as_json:
        print_json(answer)


def set_up(settings: Settings) -> GitHubService:
    """A running GitHub with this checkout's last commit in a repository, and the App known to this home."""
    service = ensure_github(settings)
    person = service.person(AUTHOR)
    try:
        person.call("GET", f"/repos/{REPOSITORY}")
    except GitHubRefused as missing:
        if missing.status != 404:
            raise
        git = Git(settings.root)
        person.create_repository(
            REPOSITORY.owner, REPOSITORY.name, settings.root, git.revision().commit, team=_TEAM
        )
    _keep(settings.github_file, service.env([str(REPOSITORY)]))
    load_settings.cache_clear()
    rules = _read(load_settings(), _SETTINGS)
    if (wanted := _with_rules(rules)) != rules:
        person.commit(str(REPOSITORY), "main", {_SETTINGS: wanted}, "Two people approve a change")
    return service


def play(settings: Settings, service: GitHubService, *, quiet: bool) -> dict[str, Any]:
    """Play one pull request through and say what came of each step."""

    def tell(line: str) -> None:
        if not quiet:
            say(line)

    stage = open_pull_request(settings, service)
    tell(f"\n{AUTHOR} opened {stage.ref}: {stage.url}")
    look(stage)
    report = _report(stage)
    tell(f"plan {short(report.plan_digest)}: {dict(report.counts)}; denied: {report.denied}")
    record = stage.session.records.plan(report.plan_digest)
    refused = apply(stage, record)
    tell(f"✗ applied before anybody approved: {_why(refused)}")
    for reviewer in REVIEWERS:
        _approve(stage, report, reviewer)
        tell(f"{reviewer} approved")
    look(stage)
    applied = _report(stage)
    if applied.outcome is None or applied.plan_digest != report.plan_digest:
        raise Refused("the plan that was approved was not applied", where=stage.url)
    tell(f"✓ applied: infra version {short(applied.outcome.infra_version)}")
    service.person(AUTHOR).merge(str(stage.ref.repository), stage.ref.number)
    look(stage)
    # This checkout's own files are another commit's than what stands now.
    burst = run_job("burst", partition=ENVIRONMENT, tags=_run_tags(stage, record)).require()
    facts = burst.facts("burst_run", BurstFacts)
    tell(f"burst run {burst.run_id}: loss {facts.loss}, infra version {short(facts.infra_version)}")
    manifest = stage.session.records.manifest(facts.infra_version)
    origin = stage.session.records.pull_request_of(manifest["plan_digest"])
    tell(f"  ran on what {origin} made; ray-platform lineage {burst.run_id}")
    tell(f"see the pull request, its comment and its checks: {stage.url}")
    return {
        "pull_request": str(stage.ref),
        "url": stage.url,
        "plan_digest": report.plan_digest,
        "refused": _why(refused),
        "infra_version": facts.infra_version,
        "burst_run": burst.run_id,
        "lineage": origin,
    }


def open_pull_request(settings: Settings, service: GitHubService) -> Stage:
    """A pull request that adds a spot pool, or changes its size where there is one."""
    before = _read(settings, _VARIABLES)
    files: dict[str, str | None] = {_VARIABLES: _changed(before)}
    person = service.person(AUTHOR)
    adds = block(before, _SPOT) is None
    title = "Add a spot pool for Ray workers" if adds else "Resize the spot pool"
    branch = f"spot-pool-{int(time.time())}"
    person.commit(str(REPOSITORY), branch, files, title, onto="main")
    number = person.open_pull_request(str(REPOSITORY), branch, title)
    return Stage(settings, service, PullRef(REPOSITORY, number))


def look(stage: Stage) -> None:
    """Look at the pull requests and do what follows, until nothing does."""
    from ray_platform.cli.run_jobs import open_instance

    for _ in range(_MOST_LOOKS):
        requests = [
            request
            for _, done in look_at_all(stage.settings, open_instance(), stage.settings.run_url)
            for request in done.requests
        ]
        for request in requests:
            run_job(request.job, partition=request.environment, tags=request.tags)
        if not requests:
            return


def apply(stage: Stage, record: PlanRecord) -> JobOutcome:
    """Try to apply a plan, as `ray-platform apply --plan` does."""
    tags = {CHANGE_TAG: ENVIRONMENT, PLAN_TAG: record.plan_digest, **_run_tags(stage, record)}
    return run_job("apply", partition=ENVIRONMENT, tags=tags, quiet=True)


def _run_tags(stage: Stage, record: PlanRecord) -> dict[str, str]:
    return {COMMIT_TAG: record.commit.commit, **tags_of(stage.settings, record)}


def _approve(stage: Stage, report: PlanReport, reviewer: str) -> None:
    shown = _shown_at(stage)
    # GitHub's clock counts seconds: nobody reads a plan in the second in which it is shown.
    while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) <= shown:
        time.sleep(0.1)
    person = stage.service.person(reviewer)
    person.review(str(stage.ref.repository), stage.ref.number, "APPROVE", commit=report.commit)


def _shown_at(stage: Stage) -> str:
    at = f"/repos/{stage.ref.repository}/issues/{stage.ref.number}/comments"
    comments = stage.service.person(AUTHOR).call("GET", at)
    return max(str(item["updated_at"]) for item in comments if MARKER in item["body"])


def _report(stage: Stage) -> PlanReport:
    standing = PullRequestRecords(stage.session.artifacts, ENVIRONMENT).standing(stage.ref)
    if standing.report is None:
        said = standing.failure.said if standing.failure else "no run was made"
        raise PlatformError(f"{stage.ref} was not planned: {said}", where=stage.url)
    return standing.report


def _why(outcome: JobOutcome) -> str:
    if outcome.failure is None:
        raise Refused("a gate let through what it must refuse", where=f"run {outcome.run_id}")
    return outcome.failure.what


def _with_rules(text: str) -> str:
    """The environment file with three approvers, of whom two must approve, an apply once they did, and a
    burst run that is over soon."""
    people = ", ".join(f'"{name}"' for name in (AUTHOR, *REVIEWERS))
    kept, section = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.split("]")[0].strip("[")
        if section not in ("approval", "burst", "pull_requests"):
            kept.append(line)
    rules = [
        "[burst]",
        "phases       = [2, 4, 2]",
        "task_seconds = 3",
        "",
        "[approval]",
        "required = 2",
        f"people   = [{people}]",
        "",
        "[pull_requests]",
        'apply = "approved"',
    ]
    return "\n".join([*kept, *([] if kept[-1:] == [""] else [""]), *rules, ""])


def _changed(variables: str) -> str:
    """The variables file with a spot pool, or with another size of it."""
    found = block(variables, _SPOT)
    if found is None:
        changed = with_entry(variables, _SPOT[:-1], _POOL)
    else:
        size = re.search(r"max_size *= (\d+)", variables[slice(*found)])
        old = size[1] if size else ""
        changed = with_value(variables, (*_SPOT, "max_size"), old, str(2 + int(old or 0) % 4))
    if changed is None:
        raise NotFoundError("there are no node pools to add one to", where=_VARIABLES)
    return changed


def _read(settings: Settings, path: str) -> str:
    """A file of the repository's branch as it is now."""
    return connect(settings, REPOSITORY).fetch(()).text("refs/heads/main", path)


def _keep(file: Path, variables: Mapping[str, str]) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(dict(variables), indent=2) + "\n", encoding="utf-8")
    beside.replace(file)
