"""The command that judges a Terraform folder as a pull request's; it needs no environment."""

import sys
from pathlib import Path

import click

from ray_platform.change.plan_guard import ALLOW_FILE, rules_of
from ray_platform.cli.output import DENIED, json_option, print_json, say
from ray_platform.policy.configuration_guard import guard as findings_of
from ray_platform.policy.configuration_rules import GuardRules
from ray_platform.policy.configuration_tree import read_tree


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--base",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The base branch's Terraform folder, or its checkout.",
)
@json_option
def guard(folder: Path, base: Path | None, as_json: bool) -> None:
    """Check a Terraform folder for foreign code.

    The folder is judged as a pull request's.

    Nothing in DIR is run. The base branch's lock file, backend and provider settings hold, and its
    policies/pull_requests.toml, looked for in the base and in the folder above it, widens what is allowed.
    Without --base no provider but AWS's own is allowed. Exit code 2 when something is found.

    \b
    Examples:
      ray-platform guard terraform
      ray-platform guard terraform --base ../main/terraform --json | jq '.findings[] | .file'
    """
    rules = GuardRules()
    if base is not None:
        base = _terraform_of(base)
        rules = rules_of(_rules_file(base))
    before = read_tree(base) if base is not None else None
    found = findings_of(read_tree(folder), before, rules)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "base": str(base) if base else None,
                "allowed": not found,
                "findings": [item.to_json() for item in found],
            }
        )
    else:
        for item in found:
            say(f"✗ [{item.rule}] {item.place}: {item.what}\n    fix: {item.fix}")
        say("refused" if found else "nothing speaks against it")
    if found:
        sys.exit(DENIED)


def _terraform_of(base: Path) -> Path:
    """The Terraform folder: the base itself, or ``terraform/`` in a checkout."""
    inside = base / "terraform"
    return inside if inside.is_dir() and not any(base.glob("*.tf")) else base


def _rules_file(base: Path) -> Path:
    own = base / "policies" / ALLOW_FILE
    return own if own.is_file() else base.absolute().parent / "policies" / ALLOW_FILE
