"""`ray-platform unlock`: a person frees an environment whose owner is gone."""

import click

from ray_platform.cli.output import env_option, json_option, known, print_json, say
from ray_platform.cli.run_jobs import asker, open_instance
from ray_platform.config.settings import load_settings
from ray_platform.session.environment_session import open_session
from ray_platform.session.lock import unlock as free
from ray_platform.store.lease import describe


@click.command()
@env_option
@click.option("--owner", required=True, metavar="TOKEN", help="As `status` shows it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the audit log.")
@json_option
def unlock(env: str, owner: str, reason: str, as_json: bool) -> None:
    """Free a lease whose owner is gone.

    Frees the lease, and Terraform's lock on the state where it was made under that lease. Refused while the
    owner is known to be alive. Exit code 2 when refused.

    \b
    Examples:
      ray-platform status --env prod
      ray-platform unlock --env prod --owner 8f1c... --reason "its pod was evicted during the apply"
    """
    known(env)
    session = open_session(load_settings(), env, asked_by=asker(), instance=open_instance())
    done = free(session, owner, reason, tell=lambda line: click.echo(line, err=True))
    if as_json:
        print_json(
            {
                "environment": env,
                "owner": done.owner.token,
                "was": describe(done.owner),
                "run_id": done.owner.run_id,
                "state_lock": done.state_lock or None,
            }
        )
        return
    say(f"{env} is free. It was held for {describe(done.owner)}.")
    if done.state_lock:
        say(f"Terraform's state lock {done.state_lock} is freed too.")
    if done.owner.child is not None and done.owner.child.call == "apply":
        say(f"An apply was cut short. Plan to see what it left: ray-platform plan --env {env}")
