"""The Helm release of the Ray cluster: `ray-platform ray status|history|upgrade|rollback|logs`."""

from collections.abc import Mapping
from typing import Any

import click

from ray_platform.change import deploy_ray
from ray_platform.cli import ray_by_git
from ray_platform.cli.output import env_option, json_option, known, print_json, say, table
from ray_platform.cli.run_jobs import run_job
from ray_platform.config.partitions import CHANGE_TAG, RAY_UPGRADE_TAG
from ray_platform.config.settings import load_settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.gitops import deployed
from ray_platform.gitops.deliver import is_by_git
from ray_platform.ray.chart import render
from ray_platform.ray.clusters import RayOnKubernetes, ray_clusters
from ray_platform.ray.endpoint import is_ray_ours
from ray_platform.ray.ray_release import ReleaseState
from ray_platform.ray.upgrade import blue_green
from ray_platform.ray.upgrade.switch import Switch
from ray_platform.run_history.asset_facts import RayClusterFacts
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import SettingsError


@click.group()
def ray() -> None:
    """Inspect, upgrade or roll back Ray."""


def _session(env: str) -> EnvironmentSession:
    known(env)
    session = open_session(load_settings(), env)
    if not is_ray_ours(session):
        deploy_ray.require_ours(session)
    return session


@ray.command()
@env_option
@json_option
def status(env: str, as_json: bool) -> None:
    """Show the release, cluster and address.

    If the cluster is not ready, the answer gives the reason.

    \b
    Examples:
      ray-platform ray status
      ray-platform ray status --json | jq -r .address
    """
    session = _session(env)
    cluster = ray_clusters(session)
    by_git = deployed.standing(session)
    switch = cluster.switch()
    name = switch.active
    history = cluster.releases.history(name)
    content = cluster.ray_cluster(name)
    found = (content or {}).get("status") or {}
    ready = content is not None and cluster.is_ready(content)
    answer = {
        "environment": env,
        "mode": session.environment.gitops.mode,
        "release": history[-1].to_json() if history else None,
        "gitops": by_git.to_json() if by_git else None,
        "ray_cluster": f"{cluster.namespace}/{name}" if content else None,
        "ready": ready,
        "state": found.get("state"),
        "workers": found.get("availableWorkerReplicas"),
        "workers_wanted": found.get("desiredWorkerReplicas"),
        "address": cluster.address_now(name),
        "upgrade": switch.upgrade.to_json() if switch.upgrade else None,
        "why_not": None if ready else _why_not(cluster, content, env),
    }
    if as_json:
        print_json(answer)
        return
    release = history[-1] if history else None
    was = f"{name} revision {release.revision}, {release.status}" if release else "none"
    rows = [
        *(ray_by_git.rows(by_git) or [("release", was)]),
        *((key.replace("_", " "), answer[key]) for key in ("ray_cluster", "ready", "state")),
        ("workers", f"{answer['workers']} of {answer['workers_wanted']}" if content else "none"),
        ("address", answer["address"] or "none"),
        *([("why not", answer["why_not"])] if answer["why_not"] else []),
        *_told(switch),
    ]
    table(f"Ray in {env}", ("what", "value"), [(k, str(v)) for k, v in rows])


def _why_not(cluster: RayOnKubernetes, content: Mapping[str, Any] | None, env: str) -> str:
    if content is not None:
        return cluster.diagnosis(content).text
    return f"there is no RayCluster: `ray-platform up --env {env}` makes it, or makes it again"


@ray.command()
@env_option
@json_option
def history(env: str, as_json: bool) -> None:
    """List the release's revisions, oldest first.

    Where Argo CD deploys, the commits of the export are listed.

    \b
    Examples:
      ray-platform ray history
    """
    session = _session(env)
    if is_by_git(session):
        ray_by_git.history(session, as_json=as_json)
        return
    cluster = ray_clusters(session)
    name = cluster.switch().active
    revisions = cluster.releases.history(name)
    if as_json:
        print_json({"environment": env, "revisions": [r.to_json() for r in revisions]})
        return
    rows = [(str(r.revision), r.status, r.updated, r.chart, r.input[:12]) for r in revisions]
    table(f"Release {name} in {env}", ("revision", "status", "updated", "chart", "input"), rows)


@ray.command()
@env_option
@click.option("--to", "revision", type=int, metavar="REVISION", help="Default: the previous one.")
@json_option
def rollback(env: str, revision: int | None, as_json: bool) -> None:
    """Roll back to an earlier revision.

    The command waits until the cluster is ready. It is refused while jobs run on pods that would be
    replaced. The environment's files do not change, so the next `up` deploys them again.

    \b
    Examples:
      ray-platform ray rollback
      ray-platform ray rollback --to 3
    """
    session = _session(env)
    deploy_ray.require_ours(session)
    outcome = run_job(
        "roll_back_ray",
        partition=env,
        tags={CHANGE_TAG: env},
        ops={"make_earlier_revision_current": {"revision": revision}},
    ).require()
    facts = outcome.facts("ray_cluster", RayClusterFacts)
    current = facts.release_revision
    releases = ray_clusters(session).releases.history(facts.release or "")
    (release,) = (item for item in releases if item.revision == current)
    if as_json:
        print_json(
            {
                "environment": env,
                "run_id": outcome.run_id,
                "infra_version": facts.infra_version,
                "release": release.to_json(),
            }
        )
        return
    to = f"revision {revision}" if revision else "the revision before"
    say(f"Rolled back to {to} (as revision {current}). The cluster is ready.")


@ray.command()
@env_option
@click.option(
    "--blue-green/--in-place",
    "blue_green",
    default=None,
    help="Start a second cluster, or replace the pods. Default: ray.upgrade.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    help="How long jobs of the old cluster may run. Default: ray.drain_seconds.",
)
@click.option("--end-jobs", is_flag=True, help="Stop jobs still running at the deadline.")
@click.option("--back-out", "going_back", is_flag=True, help="Return to the old cluster.")
@click.option("--dry-run", is_flag=True, help="Show the next step and do nothing.")
@json_option
def upgrade(
    env: str,
    blue_green: bool | None,
    drain_seconds: float | None,
    end_jobs: bool,
    going_back: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upgrade Ray and keep running jobs.

    With --blue-green a second cluster starts and runs a test job. Then new runs use it, and the old
    cluster is removed when its jobs have ended. The command is safe to repeat and resumes at the
    last step. Until the old cluster is removed, --back-out directs new runs to it again.

    \b
    Examples:
      ray-platform ray upgrade --dry-run
      ray-platform ray upgrade --blue-green --drain-seconds 600
      ray-platform ray upgrade --back-out
    """
    session = _session(env)
    deploy_ray.require_ours(session)
    default = session.ray_upgrade
    wish = UpgradeWish(
        how=default.how if blue_green is None else "blue-green" if blue_green else "in-place",
        drain_seconds=default.drain_seconds if drain_seconds is None else drain_seconds,
        end_jobs=end_jobs,
        waits=True,
    )
    if dry_run:
        _outlook(session, wish, as_json=as_json)
        return
    tags = {CHANGE_TAG: env, RAY_UPGRADE_TAG: wish.to_tag()}
    if going_back:
        outcome = run_job("back_out_ray_upgrade", partition=env, tags=tags).require()
        active = ray_clusters(session).switch().active
        answer = {
            "environment": env,
            "run_id": outcome.run_id,
            "active": active,
            "backed_out": True,
        }
    else:
        outcome = run_job("deploy_ray_cluster", partition=env, tags=tags).require()
        facts = outcome.facts("ray_cluster", RayClusterFacts)
        answer = {
            "environment": env,
            "active": ray_clusters(session).switch().active,
            "infra_version": facts.infra_version,
            "address": facts.address,
        }
    if as_json:
        print_json(answer)
    else:
        say(f"{answer['active']} takes the work")


def _outlook(session: EnvironmentSession, wish: UpgradeWish, *, as_json: bool) -> None:
    values, rendered = render(session)
    found = blue_green.outlook(session, values, rendered)
    steps = {
        ReleaseState.NOTHING: "nothing would be done",
        ReleaseState.BOUNDS: f"{found.active} would be changed as it stands, no pod is replaced",
        ReleaseState.ALL: f"{found.active} would be made",
        ReleaseState.PODS: f"{found.switch.other} would come up beside {found.active} and take the work"
        if wish.how == "blue-green"
        else f"all pods of {found.active} would be replaced"
        + ("; refused while jobs run on it" if found.jobs else ""),
    }
    if as_json:
        print_json({"environment": session.name, **found.to_json(), "would": steps[found.lacks]})
        return
    rows = [
        ("takes the work", found.active),
        ("lacks", found.lacks.value),
        ("jobs on it", ", ".join(found.jobs) or "none"),
        ("would", steps[found.lacks]),
        *_told(found.switch),
    ]
    table(f"Upgrade of Ray in {session.name}", ("what", "value"), rows)


def _told(switch: Switch) -> list[tuple[str, str]]:
    """The rows that tell of an upgrade under way."""
    if switch.upgrade is None:
        return []
    until = f", until {switch.upgrade.deadline}" if switch.upgrade.deadline else ""
    said = f"{switch.upgrade.step}: {switch.upgrade.before} to {switch.upgrade.after}{until}"
    return [("upgrade", said)]


@ray.command()
@env_option
@click.option("--worker", default="", metavar="POD", help="A worker's pod. Default: the head.")
@click.option("--container", default="", help="Default: the one that runs Ray.")
@click.option("--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("--follow", is_flag=True, help="Print new lines until interrupted.")
@click.option("--lines", default=100, show_default=True, help="How many of the last lines.")
@json_option
def logs(
    env: str,
    worker: str,
    container: str,
    previous: bool,
    follow: bool,
    lines: int,
    as_json: bool,
) -> None:
    """Show the last log lines of head or worker.

    \b
    Examples:
      ray-platform ray logs --lines 20
      ray-platform ray logs --container autoscaler --follow
      ray-platform ray logs --worker ray-cpu-worker-x7k2p --previous
    """
    if follow and as_json:
        raise SettingsError(
            "--follow has no end, and --json prints one object",
            where="ray-platform ray logs",
            fix="leave one of the two out",
        )
    log = ray_clusters(_session(env)).log_of(worker=worker, container=container)
    if follow:
        for line in log.follow(lines, previous=previous):
            click.echo(line, nl=False)
        return
    text = log.read(lines, previous=previous)
    if as_json:
        answer = {"environment": env, "pod": log.pod_name, "container": log.container}
        print_json({**answer, "log": text.splitlines()})
    else:
        click.echo(text, nl=False)
