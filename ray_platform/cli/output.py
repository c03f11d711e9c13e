"""What the command prints: people's text, or one JSON object on stdout and nothing else there."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from ray_platform.config.settings import Environment, load_settings
from ray_platform.text.errors import Refused

F = TypeVar("F", bound=Callable[..., Any])

#: Exit code of an answer that is no.
DENIED = Refused.exit_code


def known(env: str) -> Environment:
    """The environment of that name; a mistyped one is answered with those that there are."""
    return load_settings().environment(env)


def env_option(function: F) -> F:
    """``--env E``, one of the environments, ``local`` where none is named."""
    return click.option(
        "--env", "env", default="local", show_default=True, metavar="E", help="The environment."
    )(function)


def json_option(function: F) -> F:
    """``--json``: one JSON object on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


def despite_option(function: F) -> F:
    """``--despite-live-runs``: apply what takes away the ground under live burst runs; recorded."""
    return click.option(
        "--despite-live-runs", is_flag=True, help="Continue even if live burst runs are disrupted."
    )(function)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numbers: Sequence[int] = (),
) -> None:
    """A table on stdout; ``numbers`` are the columns to align right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(
            column,
            justify="right" if index in numbers else "left",
            overflow="fold",
            no_wrap=index in numbers,
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    width = None if sys.stdout.isatty() else 120
    Console(highlight=False, width=width, markup=False).print(made)


def say(text: str) -> None:
    """A line on stdout for people."""
    click.echo(text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, Path)):
        return str(value)
    if hasattr(value, "to_json"):
        return value.to_json()
    return str(value)
