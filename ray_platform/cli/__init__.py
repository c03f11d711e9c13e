"""The `ray-platform` command. It runs the same jobs as the UI and reads the same records.

Exit codes: 0 success; 1 an error; 2 the answer is no (denied, drifted, not approved).
"""

import importlib
import sys
from typing import NamedTuple

import click

from ray_platform.text.errors import PlatformError


class Entry(NamedTuple):
    """One command of the lazy table: its group in the help, its module in ``ray_platform.cli``, its summary.

    The summary repeats the first sentence of the command's docstring, so that `--help` imports no command.
    A test holds the two equal.
    """

    group: str
    module: str
    summary: str


#: The groups of the help, in their order. Within a group the commands are in the order of the table.
GROUPS = ("change", "training", "watch", "lineage", "platform")
COMMANDS = {
    "plan": Entry("change", "change_commands", "Plan and check a change; apply nothing."),
    "policy": Entry("change", "checks.plan_file", "Check a plan file against the policies."),
    "guard": Entry("change", "checks.guard", "Check a Terraform folder for foreign code."),
    "mask": Entry("change", "checks.mask", "Print a plan file with secrets masked."),
    "approve": Entry("change", "change_commands", "Approve a plan for the current state."),
    "apply": Entry("change", "change_commands", "Apply an approved plan, then deploy Ray."),
    "rollback": Entry("change", "rollback_command", "Plan the return to an infra version."),
    "unlock": Entry("change", "unlock", "Free a lease whose owner is gone."),
    "destroy": Entry("change", "change_commands", "Remove all resources of an environment."),
    "pull-requests": Entry(
        "change", "pull_request_commands", "List, show or process pull requests."
    ),
    "gitops": Entry("change", "gitops_commands", "Export manifests for Argo CD."),
    "burst": Entry("training", "up_commands", "Run bursty training on the Ray cluster."),
    "ray": Entry("training", "ray_commands", "Inspect, upgrade or roll back Ray."),
    "whatif": Entry("training", "whatif_command", "Replay a burst on other worker groups."),
    "cost": Entry("watch", "watch_commands", "Report the cost of a day."),
    "estimate": Entry("watch", "checks.plan_file", "Estimate the monthly cost of a plan file."),
    "drift": Entry("watch", "watch_commands", "Detect drift in infrastructure and Ray."),
    "incidents": Entry("watch", "incidents_command", "List drift incidents, open ones first."),
    "lineage": Entry("lineage", "lineage_commands", "Show what a training run ran on."),
    "runs": Entry("lineage", "lineage_commands", "List training runs, newest first."),
    "diff": Entry("lineage", "lineage_commands", "Compare the infrastructure of two runs."),
    "bisect": Entry("lineage", "lineage_commands", "Find the change that made a metric worse."),
    "audit": Entry("lineage", "audit_commands", "Show, verify or export the audit log."),
    "up": Entry("platform", "up_commands", "Run every stage, from plan to reports."),
    "status": Entry("platform", "watch_commands", "Show an environment and its addresses."),
    "doctor": Entry("platform", "machine_commands", "Check this machine's tools, ports and disk."),
    "down": Entry("platform", "machine_commands", "Stop all local services of this checkout."),
    "github": Entry("platform", "github_commands", "Set up the GitHub App or a local GitHub."),
}


class _Commands(click.Group):
    """A command's module is imported when the command is called, and for nothing else."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ray_platform.cli.{COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in GROUPS:
            with formatter.section(group.capitalize()):
                formatter.write_dl(
                    [
                        (name, entry.summary)
                        for name, entry in COMMANDS.items()
                        if entry.group == group
                    ]
                )


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ray-platform", prog_name="ray-platform")
def cli() -> None:
    """Run Ray on Kubernetes as data assets: plan, check, approve, apply, train and trace.

    \b
    Examples:
      ray-platform up                          run every stage on this machine
      ray-platform plan --env local            show what an apply would do
      ray-platform lineage RUN_ID --json       show what a training run ran on
      ray-platform diff RUN_A RUN_B            compare two training runs
    """


def main() -> None:
    """The console script. A failure that a user can cause is one message, never a traceback."""
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
