"""The command `whatif`: a recorded burst on other worker groups."""

import click

from ray_platform.cli.output import env_option, json_option, known, print_json, say
from ray_platform.cli.run_jobs import open_instance
from ray_platform.config.settings import load_settings
from ray_platform.run_history.run_history_store import RunHistory
from ray_platform.session.environment_session import open_session
from ray_platform.text.errors import NotFoundError, SettingsError
from ray_platform.whatif import simulate as stage
from ray_platform.whatif.answer import change_pools


@click.command()
@env_option
@click.option(
    "--workers", default="", metavar="NAME=MIN:MAX,...", help="New bounds of worker groups."
)
@click.option("--spot", default="", metavar="NAME,...", help="Worker groups to price as spot.")
@click.option("--run", "run_id", metavar="RUN_ID", help="The burst to replay.  [default: latest]")
@click.option(
    "--boot-seconds",
    default="",
    metavar="S,...",
    help="Boot time of a node, one or more values.  [default: as the run measured]",
)
@json_option
def whatif(
    env: str, workers: str, spot: str, run_id: str | None, boot_seconds: str, as_json: bool
) -> None:
    """Replay a burst on other worker groups.

    The replay gives seconds, node-hours, US dollars and unmet demand. Ray's own autoscaler decides,
    in this process; no node is started.

    \b
    Examples:
      ray-platform whatif --workers cpu=4:20,gpu=0:8
      ray-platform whatif --env prod --spot cpu --boot-seconds 75,90,140 --json
    """
    environment = known(env)
    session = open_session(load_settings(), env)
    pools = change_pools(environment.node_pools, workers, spot)
    boots = _seconds(boot_seconds)
    run, infra_version = _named(env, run_id) if run_id else stage.latest(session)
    answer = stage.ask(session, run, infra_version, pools, boot_seconds=boots)
    if as_json:
        print_json(answer.to_json())
    else:
        say(answer.to_markdown())


def _named(env: str, run_id: str) -> tuple[str, str]:
    run = RunHistory(open_instance()).burst(run_id)
    if run.environment != env:
        raise NotFoundError(
            f"run {run.run_id} is a burst of {run.environment}, not of {env}",
            where="--run",
            fix=f"--env {run.environment}",
        )
    return run.run_id, run.infra_version


def _seconds(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = (-1.0,)
    if any(not 0 < value < 86_400 for value in found):
        raise SettingsError(
            f"{text!r} are no boot times",
            where="--boot-seconds",
            fix="give seconds above 0, as in 90 or 75,90,140",
        )
    return found
