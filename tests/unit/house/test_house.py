"""The house: its layers, its sizes, its names; measured, and printed with ``pytest -s``."""

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = ROOT / "ray_platform"
SANDBOX = ROOT / "sandbox" / "ray_platform_sandbox"
#: Class names that may be defined more than once, and how many such names there may be.
MOST_CLASSES_TWICE = 4
MOST_FILES, MOST_LINES = 20, 400
#: Imported inside the functions that use them: the code location loads in the process of every run.
HEAVY = (
    "ray,kubernetes,helm_python,moto,regopy,matplotlib,boto3,numpy,jinja2,duckdb,pyarrow,mlflow,openlineage,"
    "sqlalchemy,githubkit,httpx,jwt,aiohttp,jsonschema"
)


def files(*roots: Path) -> list[Path]:
    return sorted(path for root in roots for path in root.rglob("*.py"))


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_linter_keeps_the_layers() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_folder_has_at_most_twenty_files() -> None:
    count = Counter(path.parent for path in files(PRODUCT, SANDBOX))
    folder, most = count.most_common(1)[0]
    print(f"\n{len(count)} folders, at most {most} files in one ({folder.relative_to(ROOT)})")
    assert {str(folder): n for folder, n in count.items() if n > MOST_FILES} == {}


def test_no_file_has_more_than_400_lines() -> None:
    sizes = {str(path.relative_to(ROOT)): lines(path) for path in files(PRODUCT, SANDBOX)}
    real = [size for name, size in sizes.items() if not name.endswith("__init__.py")]
    median = statistics.median(real)
    print(f"\n{len(real)} files of {sum(real)} lines: median {median:.0f}, at most {max(real)}")
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}
    assert 60 <= median <= 150


def test_no_module_name_exists_twice_in_the_product() -> None:
    names = Counter(path.stem for path in files(PRODUCT) if path.name != "__init__.py")
    twice = {name: n for name, n in names.items() if n > 1}
    print(f"\n{len(names)} modules, {len(twice)} names twice")
    assert twice == {}


def test_few_class_names_exist_twice_in_the_product() -> None:
    names = Counter(
        node.name
        for path in files(PRODUCT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    twice = sorted(name for name, n in names.items() if n > 1)
    print(f"\n{len(names)} classes, {len(twice)} names twice: {', '.join(twice)}")
    assert len(twice) <= MOST_CLASSES_TWICE, twice


def test_every_product_module_loads_without_the_sandbox() -> None:
    """Neither the sandbox nor what only it needs may be asked for when a product module is imported."""
    code = f"""
import importlib, importlib.metadata, sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('ray_platform_sandbox', 'moto', 'jsonpatch', 'markdown_it', 'nh3'):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
# What is not installed has no entry points either.
importlib.metadata.entry_points = lambda **_: ()
root = Path({str(PRODUCT)!r})
# Run as scripts in a process of their own: what they import they also do.
scripts = {{'__main__', 'helm_action_process', 'helm_render_process'}}
names = [
    '.'.join(path.relative_to(root.parent).with_suffix('').parts).removesuffix('.__init__')
    for path in sorted(root.rglob('*.py'))
    if path.stem not in scripts
]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout.strip()} modules load without the sandbox")


def test_one_place_asks_what_an_environment_runs_on() -> None:
    asks = {
        str(path.relative_to(PRODUCT))
        for path in files(PRODUCT)
        if re.search(r"cloud\.emulator\b", path.read_text(encoding="utf-8"))
    }
    # The settings' own rule about forks, and the property that `session.adapters` chooses by.
    assert asks == {"config/environment_file.py", "config/settings.py"}


def test_the_environment_is_read_in_settings_alone() -> None:
    readers = {
        str(path.relative_to(PRODUCT))
        for path in files(PRODUCT)
        if "os.environ" in path.read_text(encoding="utf-8")
    }
    assert readers <= {
        "config/settings.py",
        "cli/run_jobs.py",  # DAGSTER_HOME, as Dagster's own commands read it
        "ray/jobs_client.py",  # Ray's client takes its token from there and from nowhere else
    }


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


#: The endings of modules that talk to somebody, and the topics that put things together.
TALKS = ("_client", "_store", "_process")
IO = {"boto3", "socket", "urllib", "requests", "httpx"}


@pytest.mark.parametrize("path", files(PRODUCT), ids=lambda path: str(path.relative_to(PRODUCT)))
def test_the_network_is_reached_by_modules_that_say_so(path: Path) -> None:
    if path.stem.endswith(TALKS) or path.parts[-2] in ("cli", "defs", "doctor"):
        return
    text = path.read_text(encoding="utf-8")
    found = imports(path) & IO
    if found == {"urllib"} and "urllib.request" not in text:
        return  # addresses, not requests
    assert not found or str(path.relative_to(PRODUCT)) in ALLOWED, found


#: Modules with another name that open connections, each with its reason.
ALLOWED = {
    "session/adapters.py",  # makes the boto3 clients of an environment
    "github/app_key.py",  # reads the App's key from Secrets Manager
    "github/failure.py",  # reads httpx's exceptions and opens nothing
    "ray/cluster_access.py",  # asks boto3's session for the credentials that EKS wants
}


def test_loading_the_code_location_loads_nothing_heavy() -> None:
    code = (
        "import sys; from ray_platform.definitions import defs; defs();"
        f"print([m for m in '{HEAVY}'.split(',') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
