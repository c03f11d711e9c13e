"""Check runs, check suites, deployments and their statuses as GitHub's REST interface shows them."""

from typing import Any

from ray_platform_sandbox.github.clock import spell, spell_if
from ray_platform_sandbox.github.git.history import Commit
from ray_platform_sandbox.github.hub import Hub, node_id
from ray_platform_sandbox.github.shapes.accounts import integration_or_none, simple_user
from ray_platform_sandbox.github.shapes.pulls import pull_minimal
from ray_platform_sandbox.github.state import (
    CheckRun,
    CheckSuite,
    Deployment,
    DeploymentStatus,
    Repository,
)


def check_run(hub: Hub, repository: Repository, found: CheckRun) -> dict[str, Any]:
    at = hub.api(f"/repos/{repository.full_name}/check-runs/{found.id}")
    page = hub.html(f"/{repository.full_name}/runs/{found.id}")
    return {
        "id": found.id,
        "name": found.name,
        "node_id": node_id("CR", found.id),
        "head_sha": found.head_sha,
        "external_id": found.external_id,
        "url": at,
        "html_url": page,
        "details_url": found.details_url or page,
        "status": found.status,
        "conclusion": found.conclusion,
        "started_at": spell_if(found.started_at),
        "completed_at": spell_if(found.completed_at),
        "output": {
            **{name: found.output.get(name) for name in ("title", "summary", "text")},
            "annotations_count": len(found.annotations),
            "annotations_url": f"{at}/annotations",
        },
        "check_suite": {"id": found.suite_id},
        "app": integration_or_none(hub, found.app_id),
        "pull_requests": pulls_at(hub, repository, found.head_sha),
    }


def pulls_at(hub: Hub, repository: Repository, sha: str) -> list[dict[str, Any]]:
    """The open pull requests of this repository's own branches at a commit."""
    return [
        pull_minimal(hub, repository, issue)
        for issue in repository.issues.values()
        if issue.pull
        and issue.state == "open"
        and issue.pull.head_sha == sha
        and issue.pull.head_repository == repository.id
    ]


def suite_state(repository: Repository, suite: CheckSuite) -> tuple[str, str | None]:
    """(status, conclusion) of a suite: completed once all of its runs are, as bad as the worst."""
    runs = [run for run in repository.check_runs.values() if run.suite_id == suite.id]
    if not runs:
        return "queued", None
    if any(run.status != "completed" for run in runs):
        return "in_progress", None
    worst = ("failure", "timed_out", "cancelled", "action_required", "success")
    concluded = {run.conclusion for run in runs}
    return "completed", next((word for word in worst if word in concluded), "neutral")


def check_suite(
    hub: Hub, repository: Repository, found: CheckSuite, head: Commit
) -> dict[str, Any]:
    """A check suite as its webhook holds it; ``head`` is its commit."""
    status, conclusion = suite_state(repository, found)
    at = hub.api(f"/repos/{repository.full_name}/check-suites/{found.id}")
    return {
        "id": found.id,
        "node_id": node_id("CS", found.id),
        "head_branch": found.head_branch,
        "head_sha": found.head_sha,
        "status": status,
        "conclusion": conclusion,
        "url": at,
        "before": found.before,
        "after": found.head_sha,
        "pull_requests": pulls_at(hub, repository, found.head_sha),
        "app": integration_or_none(hub, found.app_id),
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "latest_check_runs_count": sum(
            1 for run in repository.check_runs.values() if run.suite_id == found.id
        ),
        "check_runs_url": f"{at}/check-runs",
        "head_commit": {
            "id": head.sha,
            "tree_id": head.tree,
            "message": head.message,
            "timestamp": head.committed,
            "author": {"name": head.author.name, "email": head.author.email},
            "committer": {"name": head.committer.name, "email": head.committer.email},
        },
    }


def deployment(hub: Hub, repository: Repository, found: Deployment) -> dict[str, Any]:
    repo = hub.api(f"/repos/{repository.full_name}")
    at = f"{repo}/deployments/{found.id}"
    return {
        "url": at,
        "id": found.id,
        "node_id": node_id("DE", found.id),
        "task": found.task,
        "original_environment": found.environment,
        "environment": found.environment,
        "description": found.description or None,
        "created_at": spell(found.created_at),
        "updated_at": spell(found.updated_at),
        "statuses_url": f"{at}/statuses",
        "repository_url": repo,
        "creator": simple_user(hub, found.user),
        "sha": found.sha,
        "ref": found.ref,
        "payload": found.payload,
        "transient_environment": found.transient,
        "production_environment": found.production,
        "performed_via_github_app": integration_or_none(hub, found.app_id),
    }


def deployment_status(
    hub: Hub, repository: Repository, of: Deployment, found: DeploymentStatus
) -> dict[str, Any]:
    repo = hub.api(f"/repos/{repository.full_name}")
    at = f"{repo}/deployments/{of.id}"
    return {
        "url": f"{at}/statuses/{found.id}",
        "id": found.id,
        "node_id": node_id("DES", found.id),
        "state": found.state,
        "creator": simple_user(hub, found.user),
        "description": found.description,
        "environment": found.environment,
        "target_url": found.log_url,
        "created_at": spell(found.created_at),
        "updated_at": spell(found.created_at),
        "deployment_url": at,
        "repository_url": repo,
        "environment_url": found.environment_url,
        "log_url": found.log_url,
        "performed_via_github_app": integration_or_none(hub, found.app_id),
    }
