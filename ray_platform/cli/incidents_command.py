"""The command that lists incidents."""

import click

from ray_platform.cli.output import env_option, json_option, known, print_json, say, table
from ray_platform.config.settings import load_settings
from ray_platform.drift.causes import WORDS
from ray_platform.drift.incidents.incident_store import incidents as every_incident
from ray_platform.session.environment_session import open_session


@click.command()
@env_option
@json_option
def incidents(env: str, as_json: bool) -> None:
    """List drift incidents, open ones first.

    Each incident is major drift of one resource: since when, where, and who made the change.

    \b
    Examples:
      ray-platform incidents --env local
      ray-platform incidents --env prod --json | jq '.incidents[] | select(.open)'
    """
    known(env)
    found = every_incident(open_session(load_settings(), env).artifacts, env)
    if as_json:
        print_json({"environment": env, "incidents": [incident.to_json() for incident in found]})
    elif found:
        table(
            f"Incidents in {env}",
            ("incident", "state", "since (UTC)", "seen", "what", "cause", "who"),
            [
                (
                    incident.key,
                    "open" if incident.is_open else "closed",
                    incident.opened_at,
                    incident.seen,
                    incident.title,
                    WORDS[incident.cause],
                    incident.who,
                )
                for incident in found
            ],
        )
    else:
        say(f"{env}: no incidents")
