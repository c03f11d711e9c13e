"""The `ray-platform` command: thin, it runs the same jobs as the UI and reads the same records.

Exit codes: 0 good; 1 an error; 2 the answer is no (denied, drifted, not approved).
"""

import importlib
import sys

import click

from ray_platform.text.errors import PlatformError

#: Command -> module below ``ray_platform.cli``: one is imported when it is called, so `--help` is quick.
_COMMANDS = {
    "up": "up_commands",
    "plan": "change_commands",
    "policy": "plan_file",
    "estimate": "plan_file",
    "guard": "guard",
    "mask": "mask",
    "approve": "change_commands",
    "apply": "change_commands",
    "burst": "up_commands",
    "rollback": "rollback_command",
    "pull-requests": "pull_request_commands",
    "destroy": "change_commands",
    "drift": "watch_commands",
    "incidents": "incidents_command",
    "cost": "watch_commands",
    "whatif": "whatif_command",
    "lineage": "lineage_commands",
    "runs": "lineage_commands",
    "diff": "lineage_commands",
    "bisect": "lineage_commands",
    "audit": "audit_commands",
    "gitops": "gitops_commands",
    "github": "github_commands",
    "ray": "ray_commands",
    "status": "watch_commands",
    "unlock": "unlock",
    "doctor": "machine_commands",
    "down": "machine_commands",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"ray_platform.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ray-platform", prog_name="ray-platform")
def cli() -> None:
    """Ray on Kubernetes as data assets: plan, check, approve, apply, train, and trace it all back.

    \b
    Examples:
      ray-platform up                          the whole walk on this machine
      ray-platform plan --env local            what an apply would do; changes nothing
      ray-platform lineage RUN_ID --json       what a training run ran on
      ray-platform diff RUN_A RUN_B            what differed under two runs
    """


def main() -> None:
    """The console script: each failure of a user's making is one message, never a traceback."""
    try:
        cli.main(standalone_mode=False)
    except PlatformError as error:
        click.echo(f"ray-platform: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("ray-platform: stopped", err=True)
        sys.exit(130)
