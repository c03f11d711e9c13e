"""The help: every summary is whole, short and in a group, and printing it imports no command."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ray_platform.cli import COMMANDS, GROUPS, cli

WIDTH = 80


def groups(
    group: click.Command = cli, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Group]]:
    """Every group of commands with its words on the command line, the outermost first."""
    assert isinstance(group, click.Group)
    yield words, group
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        if isinstance(inner, click.Group):
            yield from groups(inner, (*words, name))


def summaries(group: click.Group) -> dict[str, str]:
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        found[name] = command.get_short_help_str(limit=1000)
    return found


each_group = pytest.mark.parametrize(
    ("words", "group"),
    list(groups()),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)


@each_group
def test_no_summary_is_cut_at_80_columns(words: tuple[str, ...], group: click.Group) -> None:
    done = CliRunner(env={"COLUMNS": str(WIDTH)}).invoke(
        cli, [*words, "--help"], terminal_width=WIDTH
    )
    assert done.exit_code == 0
    lines = {tuple(line.split(maxsplit=1)) for line in done.output.splitlines()}
    for name, summary in summaries(group).items():
        assert (name, summary) in lines


@each_group
def test_a_summary_is_one_short_sentence_that_starts_with_a_verb(
    words: tuple[str, ...], group: click.Group
) -> None:
    for name, summary in summaries(group).items():
        assert len(summary) <= 45, name
        assert summary.endswith("."), name
        first = summary.split()[0].rstrip(",")
        assert first.istitle() and first not in {"The", "A", "An", "What", "Who", "How"}, name


def test_the_lazy_table_repeats_each_command_s_own_summary() -> None:
    assert {name: entry.summary for name, entry in COMMANDS.items()} == summaries(cli)  # type: ignore[arg-type]


def test_every_command_is_in_a_group_and_no_group_is_empty() -> None:
    assert {entry.group for entry in COMMANDS.values()} == set(GROUPS)


def test_the_help_imports_no_command_and_nothing_heavy() -> None:
    script = (
        "import sys, click\n"
        "from ray_platform.cli import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('modules', *sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    shown, _, modules = done.stdout.partition("modules ")
    assert "Commands" not in shown and "plan" in shown
    loaded = set(modules.split())
    assert {name for name in loaded if name.startswith("ray_platform.cli.")} == set()
    assert loaded & {"dagster", "boto3", "ray", "pydantic", "yaml", "rich", "kubernetes"} == set()
