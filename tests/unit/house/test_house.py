"""The house stays one house: imports go defs -> stages -> clients -> core, and nothing heavy loads early."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "ray_platform"

#: Floor of each part; an import may go down or stay, never up.
FLOORS = {
    "core": 0,
    "cost": 0,
    "drift": 0,
    "terraform": 0,
    "policy": 0,
    "git": 1,
    "text": 0,
    "environment_file": 1,
    "github_app_settings": 1,
    "settings": 1,
    "store": 2,
    "lineage": 2,
    "clients": 2,
    "partitions": 2,
    "progress": 2,
    "run_resources": 2,
    "local": 3,
    "doctor": 4,
    "doctor_github": 4,
    "doctor_kubernetes": 4,
    "pull_requests": 4,
    "stages": 4,
    "session": 4,
    "run_context": 5,
    "defs": 6,
    "definitions": 7,
    "cli": 8,
}


#: Topic folders of the new layout: each holds pure modules and clients, told apart by their names.
TOPICS = ("ray",)


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_never_go_up(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__" or part in TOPICS:
        return
    for module in imports(path):
        if module.startswith("ray_platform.") and (there := part_of(module)) in FLOORS:
            assert FLOORS[there] <= FLOORS[part], f"{part} imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda p: p.name)
def test_core_knows_no_outside(path: Path) -> None:
    outside = {"dagster", "boto3", "subprocess", "socket", "urllib", "ray", "requests", "os"}
    assert not {module.split(".")[0] for module in imports(path)} & outside


def test_the_environment_is_read_in_settings_alone() -> None:
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "os.environ" in path.read_text(encoding="utf-8")
    }
    assert readers <= {
        "settings.py",
        "cli/jobs.py",  # DAGSTER_HOME, as Dagster's own commands read it
        "clients/ray_jobs.py",  # Ray's client takes its token from there and from nowhere else
        "local/emulator_server.py",  # a process of its own
    }


def test_loading_the_code_location_loads_nothing_heavy() -> None:
    code = (
        "import sys; from ray_platform.definitions import defs; defs();"
        "print([m for m in ('ray','kubernetes','helm_python','moto','regopy','matplotlib','boto3',"
        "'numpy','jinja2','duckdb','pyarrow','mlflow','openlineage','sqlalchemy',"
        "'githubkit','httpx','jwt','aiohttp','jsonschema')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
