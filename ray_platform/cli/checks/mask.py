"""The command that masks a plan; it needs no environment."""

import json
from pathlib import Path

import click

from ray_platform.cli.output import print_json
from ray_platform.text.errors import PlanFormatError, SettingsError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def mask(file: Path) -> None:
    """Print a plan file with secrets masked.

    FILE is printed as it would be stored.

    FILE is the output of `terraform show -json`. What Terraform marks sensitive, what has a secret's name and
    what looks like one is masked, with its copies.

    \b
    Examples:
      terraform show -json my.tfplan > my.json && ray-platform mask my.json
    """
    print_json(masked_plan(file))


def masked_plan(file: Path) -> dict[str, object]:
    """The plan of a file with its secrets masked.

    Raises:
        SettingsError: the file cannot be read.
        PlanFormatError: it is not the JSON of a plan.
    """
    from ray_platform.text.redaction import redact_plan_json

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"the file cannot be read: {error.strerror}",
            where=str(file),
            fix="name a readable file",
        ) from error
    except ValueError as error:
        raise PlanFormatError(
            f"the file is not JSON: {error}",
            where=str(file),
            fix="give the output of `terraform show -json PLANFILE`",
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format_version"), str):
        raise PlanFormatError(
            "the file is not a plan: it has no format_version",
            where=str(file),
            fix="give the output of `terraform show -json PLANFILE`",
        )
    return redact_plan_json(content)
