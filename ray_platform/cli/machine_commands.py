"""The commands about this machine: doctor and down."""

import sys

import click

from ray_platform.cli.output import json_option, print_json, say
from ray_platform.config.settings import load_settings
from ray_platform.doctor.cluster_checks import examine_kubernetes
from ray_platform.doctor.github_checks import examine_github
from ray_platform.doctor.machine_checks import examine
from ray_platform.session.adapters import find_sandbox


@click.command()
@json_option
@click.option(
    "--env", "env", default="local", show_default=True, metavar="E", help="The environment."
)
@click.option("--github", is_flag=True, help="Check the GitHub App instead.")
def doctor(as_json: bool, env: str, github: bool) -> None:
    """Check this machine's tools, ports and disk.

    It also checks the AWS provider and the memory. Nothing is changed.

    \b
    Examples:
      ray-platform doctor
      ray-platform doctor --env kind
      ray-platform doctor --github
      ray-platform doctor --json | jq '.findings[] | select(.good | not)'
    """
    settings = load_settings()
    settings.environment(env)
    if github:
        findings = examine_github(settings)
    else:
        findings = (*examine(settings, env), *examine_kubernetes(settings, env))
    good = all(finding.good for finding in findings)
    if as_json:
        print_json({"good": good, "findings": [finding.to_json() for finding in findings]})
    else:
        for finding in findings:
            say(f"{'✓' if finding.good else '✗'} {finding.subject:<12} {finding.found}")
            if not finding.good:
                say(f"    what to do: {finding.fix}")
    if not good:
        sys.exit(1)


@click.command()
@json_option
def down(as_json: bool) -> None:
    """Stop all local services of this checkout.

    These are the emulator, Kubernetes, the Ray nodes, GitHub and PostgreSQL. The content of the
    emulator and of Kubernetes is lost, the Terraform state of `local` included. History, artifacts
    and GitHub's repositories are kept.

    \b
    Examples:
      ray-platform down
    """
    sandbox = find_sandbox()
    ended = sandbox.stop_all(load_settings()) if sandbox else {}
    if as_json:
        print_json({"ended": ended})
        return
    names = [name for name, was_running in ended.items() if was_running]
    say(f"ended: {', '.join(names)}" if names else "nothing was running")
