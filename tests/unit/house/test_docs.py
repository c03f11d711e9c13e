"""README and docs say what the code says: names, options, settings, paths and links."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import dagster as dg
import pytest

from ray_platform.cli import COMMANDS, GROUPS, cli
from ray_platform.config import partitions
from ray_platform.config.environment_file import EnvironmentFile
from ray_platform.config.settings import load_settings
from ray_platform.definitions import defs
from ray_platform.drift.causes import Cause
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = (
    *sorted(ROOT.glob("*.md")),
    *PAGES,
    *(ROOT / folder / "README.md" for folder in ("terraform", "workloads", "bench")),
)
REFERENCE = DOCS / "reference"
CODE_LOCATION = REFERENCE / "code-location.md"
ENVIRONMENTS = REFERENCE / "environment-files.md"
MOST_LINES = 200

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
NAME = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(
    r"(?:ray_platform|terraform|helm|policies|workloads|environments|tests|docs|bench|kubernetes|sandbox|deploy)"
    r"/[\w./*-]*"
)
PLACEHOLDER = re.compile(r"\b(NAME|ENV|DIGEST|DAY|RUN_ID|VERSION)\b")
RUN_TAGS = {value for value in vars(partitions).values() if str(value).startswith("ray_platform/")}

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def section(document: Path, heading: str) -> str:
    """The text under a heading, up to the next one of any level."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert found, f"{document.name} has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table in a text, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    heads = [at for at, row in enumerate(cells) if set("".join(row)) <= set("-:")]
    return [row for at, row in enumerate(cells) if at not in heads and at + 1 not in heads]


def names(document: Path, heading: str) -> list[str]:
    """The code names in the first column of the tables under a heading."""
    return [name for row in rows(section(document, heading)) for name in NAME.findall(row[0])]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def commands(group: click.Command = cli) -> dict[str, click.Command]:
    """Every command by its words: ``plan``, ``audit verify``."""
    assert isinstance(group, click.Group)
    context = click.Context(group)
    found = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": made for inner, made in commands(command).items()}
        else:
            found[name] = command
    return found


def named(words: list[str]) -> tuple[str, list[str]]:
    """A command line as the command's words and its arguments."""
    known = commands()
    length = 2 if " ".join(words[:2]) in known else 1
    return " ".join(words[:length]), words[length:]


# The command -----------------------------------------------------------------------------------


def test_the_reference_lists_every_command_in_its_group_with_help_and_options() -> None:
    table = {}
    for group in GROUPS:
        for row in rows(section(REFERENCE / "commands.md", group.capitalize())):
            words = row[0].strip("`").split()[1:]
            table[named(words)[0]] = (group, set(re.findall(r"--[a-z-]+", row[0])), row[1])
    assert set(table) == set(commands())
    for name, command in commands().items():
        group, shown, said = table[name]
        assert group == COMMANDS[name.split()[0]].group, name
        assert said == command.get_short_help_str(limit=1000), name
        spellings = [
            {*option.opts, *option.secondary_opts}
            for option in command.params
            if isinstance(option, click.Option)
        ]
        assert all(shown & spelling for spelling in spellings), name
        assert shown <= set().union(*spellings), name


def command_lines(document: Path) -> Iterator[list[str]]:
    """The arguments of every `ray-platform ...` that a document shows, but for output (`text`)."""
    text = document.read_text(encoding="utf-8")
    shown = [
        line for kind, block in FENCE.findall(text) if kind != "text" for line in block.splitlines()
    ]
    shown += INLINE.findall(FENCE.sub("", text))
    while shown:
        line = shown.pop().split(" # ")[0]
        while inner := re.search(r"\$\(([^()]*)\)", line):
            shown.append(inner[1])
            line = line.replace(inner[0], "X")
        for part in re.split(r"&&|\||>|;", line):
            if found := re.search(r"(?:^|\s|=)ray-platform (.+)", part):
                yield shlex.split(re.sub(r"[\[\]]", "", found[1]))


@each_document
def test_every_command_shown_can_be_parsed(document: Path) -> None:
    known = commands()
    for words in command_lines(document):
        name, arguments = named(words)
        assert name in known, f"ray-platform {name}"
        if arguments or not any(param.required for param in known[name].params):
            known[name].make_context(name, arguments)


@each_document
def test_every_make_target_shown_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = document.read_text(encoding="utf-8")
    code = [block for _, block in FENCE.findall(text)] + INLINE.findall(FENCE.sub("", text))
    asked = {
        name for part in code for name in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", part, re.M)
    }
    assert asked <= targets


# The code location -----------------------------------------------------------------------------


def test_the_reference_lists_every_asset_in_its_group(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    table = {NAME.findall(row[0])[0]: row[1] for row in rows(section(CODE_LOCATION, "Assets"))}
    assert table == {
        key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()
    }


def test_the_reference_lists_every_check_and_says_which_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    table = {
        (asset, NAME.findall(row[0])[0], "(blocking)" in row[0])
        for row in rows(section(CODE_LOCATION, "Checks"))
        for asset in NAME.findall(row[1])
    }
    assert table == {
        (key.asset_key.to_user_string(), key.name, graph.get(key).blocking)
        for key in graph.asset_check_keys
    }


def test_the_reference_lists_every_job(definitions: dg.Definitions) -> None:
    jobs = {job.name for job in definitions.get_repository_def().get_all_jobs()}
    assert set(names(CODE_LOCATION, "Jobs")) == jobs - {"__ASSET_JOB"}


def test_the_reference_lists_every_schedule_and_sensor_and_whether_it_is_on(
    definitions: dg.Definitions,
) -> None:
    repository = definitions.get_repository_def()
    instigators: list[dg.ScheduleDefinition | dg.SensorDefinition] = [
        *repository.schedule_defs,
        *repository.sensor_defs,
    ]
    table = {
        NAME.findall(row[0])[0]: row[2]
        for row in rows(section(CODE_LOCATION, "Schedules and sensors"))
    }
    assert table == {
        item.name: "on" if item.default_status.value == "RUNNING" else "off" for item in instigators
    }


def test_the_asset_graph_in_the_docs_is_that_of_the_definitions(
    definitions: dg.Definitions,
) -> None:
    diagrams = load_script(DOCS / "make_diagrams.py")
    text = diagrams.DOCUMENT.read_text(encoding="utf-8")
    drawn = diagrams.with_graph(text, diagrams.asset_graph(definitions))
    assert text == drawn, "run `python docs/make_diagrams.py`"


# Settings --------------------------------------------------------------------------------------


def test_the_reference_lists_every_variable_that_the_platform_reads() -> None:
    source = (ROOT / "ray_platform" / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"RAY_PLATFORM_[A-Z_]+", source))
    listed = {
        name
        for name in names(REFERENCE / "settings.md", "Variables")
        if name.startswith("RAY_PLATFORM_")
    }
    assert listed == read


def test_environments_lists_every_key_of_an_environment_file() -> None:
    keys = set()
    for name, field in EnvironmentFile.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        keys |= {f"{name}.{key}" for key in inner} if inner else {name}
    assert set(names(ENVIRONMENTS, "Keys of NAME.toml")) == keys


def test_environments_lists_every_terraform_variable() -> None:
    source = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    variables = set(re.findall(r'^variable "(\w+)"', source, re.M))
    pool = source.split('variable "node_pools"')[1].split("validation")[0].split("taints")[0]
    keys = {*re.findall(r"^ {4}(\w+) +=", pool, re.M), "taints"}
    text = section(ENVIRONMENTS, "Variables of NAME.tfvars")
    by_platform = set(NAME.findall(re.search(r"^Three more .*$", text, re.M)[0]))  # type: ignore[index]
    assert set(names(ENVIRONMENTS, "Variables of NAME.tfvars")) | by_platform == variables | keys


def test_environments_says_what_each_one_has() -> None:
    settings = load_settings()
    text = section(ENVIRONMENTS, "Environments")
    head = next(line for line in text.splitlines() if line.startswith("| |"))
    table = {row[0]: row[1:] for row in rows(text)}
    assert tuple(NAME.findall(head)) == settings.environment_names
    for at, name in enumerate(settings.environment_names):
        environment = settings.environment(name)
        assert table["approvals"][at] == str(environment.approval.required)
        assert ("emulator" in table["cloud"][at]) == environment.cloud.emulator
        pools = {pool.name: pool for pool in environment.node_pools}
        for kind, row in (("cpu", "CPU workers"), ("gpu", "GPU workers")):
            pool = pools.get(kind)
            bounds = f"{pool.min_size} to {pool.max_size}" if pool else "none"
            assert table[row][at].split(",")[0] == bounds


# Paths and links -------------------------------------------------------------------------------


@each_document
def test_every_path_mentioned_exists(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for code in INLINE.findall(text):
        for found in PATH.findall(code):
            mentioned = found.rstrip(".")
            if PLACEHOLDER.search(mentioned) or mentioned in RUN_TAGS or f".{mentioned}" in code:
                continue
            assert list(ROOT.glob(mentioned)), f"{document.name}: {mentioned}"


def test_the_folders_in_the_architecture_are_those_of_the_checkout() -> None:
    listed = {
        name.rstrip("/") for name in names(DOCS / "explanation" / "architecture.md", "Folders")
    }
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {path.split("/")[0] for path in tracked if "/" in path and path[0] != "."}
    assert listed == folders - {"docs"}


def test_the_topics_in_the_architecture_have_the_linters_order() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (layers,) = (
        contract["layers"]
        for contract in settings["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    assert names(DOCS / "explanation" / "architecture.md", "Topics") == layers


def test_the_reference_lists_every_cause_of_drift() -> None:
    assert set(names(REFERENCE / "drift.md", "Causes")) == set(get_args(Cause))


def test_each_fault_names_the_tests_that_show_it() -> None:
    written = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    text = (REFERENCE / "faults.md").read_text(encoding="utf-8")
    faults = re.split(r"^### ", text, flags=re.M)[1:]
    assert faults
    for fault in faults:
        tests = re.findall(r"`(test_\w+)`", fault)
        assert tests, fault
        assert [name for name in tests if f"def {name}(" not in written] == [], fault


def test_the_role_policies_of_aws_are_json_with_placeholders_for_what_is_yours() -> None:
    texts = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "deploy/aws").glob("*.json")
    }
    assert set(texts) == {"trust", "deploy"}
    guide = (DOCS / "how-to" / "set-up-aws.md").read_text(encoding="utf-8")
    for text in texts.values():
        assert {item["Effect"] for item in json.loads(text)["Statement"]} == {"Allow"}
        assert not re.search(r"\d{12}", text)
        for placeholder in re.findall(r"\b(?:ACCOUNT|STATE-BUCKET|OWNER/REPO)\b", text):
            assert f"`{placeholder}`" in guide


# Pages -----------------------------------------------------------------------------------------


def test_no_page_has_more_than_200_lines() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "README.md", *PAGES)
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_map_leads_to_every_page_and_every_page_is_of_one_kind() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(text)}
    assert listed == set(PAGES) - {DOCS / "README.md"}
    kinds = {path.relative_to(DOCS).parts[0] for path in PAGES}
    assert kinds == {
        "README.md",
        "tutorial.md",
        "glossary.md",
        "how-to",
        "reference",
        "explanation",
    }


def test_the_glossary_is_sorted_and_explains_a_term_once() -> None:
    terms = [row[0].casefold() for row in rows((DOCS / "glossary.md").read_text(encoding="utf-8"))]
    assert terms == sorted(set(terms))


def test_every_page_that_code_and_configuration_name_exists() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    named_pages = set()
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in {".py", ".toml", ".yaml", ".yml", ".tf", ".tfvars", ".rego", ""}
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            named_pages |= set(re.findall(r"(?<![\w/])docs/[\w/-]+\.(?:md|json|py)", text))
    assert len(named_pages) > 10
    assert {page for page in named_pages if not (ROOT / page).exists()} == set()


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), f"{document.name}: {link}"
        if anchor:
            headings = re.findall(
                r"^#+ (.+)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.M
            )
            assert anchor in {_anchor(heading) for heading in headings}, f"{document.name}: {link}"


def _anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
