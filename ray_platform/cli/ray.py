"""The Helm release of the Ray cluster: `ray-platform ray status|history|rollback|logs`."""

import click

from ray_platform.cli.jobs import asker
from ray_platform.cli.output import env_option, json_option, known, print_json, say, table
from ray_platform.core.errors import SettingsError
from ray_platform.core.ray_health import is_ready
from ray_platform.settings import load_settings
from ray_platform.stages import audit, ray_cluster, ray_release
from ray_platform.stages.lock import change_lock
from ray_platform.stages.site import Site


@click.group()
def ray() -> None:
    """The Ray cluster's release: how it is, what it was, the way back, the head's log."""


def _site(env: str) -> Site:
    known(env)
    site = Site(load_settings(), env, asked_by=asker())
    if not site.is_ray_ours:
        raise SettingsError(
            f"the platform does not deploy Ray in {env}: it only connects to {site.environment.ray.address}",
            where=f"environments/{env}.toml, [ray] runtime",
            fix='set runtime = "kubernetes", or ask who deployed that cluster',
        )
    return site


@ray.command()
@env_option
@json_option
def status(env: str, as_json: bool) -> None:
    """Release, RayCluster and address, and why it is not ready when it is not.

    \b
    Examples:
      ray-platform ray status
      ray-platform ray status --json | jq -r .address
    """
    cluster = _site(env).kubernetes
    switch = cluster.switch()
    name = switch.active
    history = cluster.releases.history(name)
    content = cluster.ray_cluster(name)
    found = (content or {}).get("status") or {}
    ready = content is not None and is_ready(content)
    answer = {
        "environment": env,
        "release": history[-1].to_json() if history else None,
        "ray_cluster": f"{cluster.namespace}/{name}" if content else None,
        "ready": ready,
        "state": found.get("state"),
        "workers": found.get("availableWorkerReplicas"),
        "workers_wanted": found.get("desiredWorkerReplicas"),
        "address": cluster.address_now(name),
        "upgrade": switch.upgrade.to_json() if switch.upgrade else None,
        "why_not": None if ready or content is None else cluster.diagnosis(content).text,
    }
    if as_json:
        print_json(answer)
        return
    release = history[-1] if history else None
    rows = [
        (
            "release",
            f"{name} revision {release.revision}, {release.status}" if release else "none",
        ),
        *((key.replace("_", " "), answer[key]) for key in ("ray_cluster", "ready", "state")),
        ("workers", f"{answer['workers']} of {answer['workers_wanted']}" if content else "none"),
        ("address", answer["address"] or "none"),
        *([("why not", answer["why_not"])] if answer["why_not"] else []),
    ]
    table(f"Ray in {env}", ("what", "value"), [(k, str(v)) for k, v in rows])


@ray.command()
@env_option
@json_option
def history(env: str, as_json: bool) -> None:
    """The revisions of the release, the oldest first.

    \b
    Examples:
      ray-platform ray history
    """
    cluster = _site(env).kubernetes
    name = cluster.switch().active
    revisions = cluster.releases.history(name)
    if as_json:
        print_json({"environment": env, "revisions": [r.to_json() for r in revisions]})
        return
    rows = [(str(r.revision), r.status, r.updated, r.chart, r.input[:12]) for r in revisions]
    table(f"Release {name} in {env}", ("revision", "status", "updated", "chart", "input"), rows)


@ray.command()
@env_option
@click.option("--to", "revision", type=int, metavar="REVISION", help="Default: the one before.")
@json_option
def rollback(env: str, revision: int | None, as_json: bool) -> None:
    """Make an earlier revision of the release the current one, and wait until it is ready.

    The environment's files stay as they are: the next `up` deploys them again. Refused while jobs run on
    pods that would be replaced.

    \b
    Examples:
      ray-platform ray rollback
      ray-platform ray rollback --to 3
    """
    site = _site(env)
    with change_lock(site, "ray rollback", tell=say):
        release = ray_release.roll_back(site, revision, say)
        reason = f"release {release.name} is revision {release.revision}, as an earlier one was"
        audit.note(site, "ray-rollback", "done", reason=reason)
        ray_cluster.rolled_back(site, release)
    if as_json:
        print_json({"environment": env, "release": release.to_json()})
        return
    was = f"revision {revision}" if revision else "the revision before"
    say(f"revision {release.revision} is what {was} was, and ready")


@ray.command()
@env_option
@click.option("--lines", default=100, show_default=True, help="How many of the last lines.")
@json_option
def logs(env: str, lines: int, as_json: bool) -> None:
    """The last lines of the head's log.

    \b
    Examples:
      ray-platform ray logs --lines 20
    """
    text = _site(env).kubernetes.log(lines)
    if as_json:
        print_json({"environment": env, "log": text.splitlines()})
    else:
        click.echo(text, nl=False)
