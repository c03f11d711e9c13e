"""A change through the platform against a plain script of the same Terraform calls on the same root.

Both start from nothing: their own emulator, their own state, an unpacked provider. The script calls
``init``, ``plan -out``, ``show -json`` and ``apply PLANFILE`` and does nothing else; the platform runs its
`change` job up to the four infrastructure assets, with policy, estimate, approval, records and Dagster's
event log. Run: ``.venv/bin/python bench/apply.py`` (takes about six minutes).
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ray_platform_sandbox.aws.service import ensure_emulator, stop_emulator

from ray_platform.config.settings import Settings
from ray_platform.terraform.provider_mirror import find_provider_mirror
from ray_platform.terraform.state_bucket_store import ensure_state_bucket

ROOT = Path(__file__).resolve().parent.parent
PORT_BASE = 5780
RESIZE = ("max_size       = 10", "max_size       = 9")

PLATFORM = """
from ray_platform.cli.run_jobs import open_instance
from ray_platform.definitions import defs
import dagster as dg
job = defs().resolve_job_def("change")
names = ("terraform_plan", "vpc", "eks_cluster", "node_pools", "storage", "platform")
assets = {dg.AssetKey(name) for name in names}
job = job.get_subset(asset_selection=assets)
done = job.execute_in_process(instance=open_instance(), partition_key="local")
assert done.success
"""


def copy_of_root(folder: Path) -> Path:
    """The checkout's tracked files, committed in a repository of their own."""
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "bench"]):
        subprocess.run([*git, "-C", str(folder), *arguments], check=True)
    return folder


@contextlib.contextmanager
def emulator_of(settings: Settings) -> Iterator[dict[str, str]]:
    """The variables of a fresh emulator with a state bucket."""
    emulator = ensure_emulator(settings)
    try:
        environment = settings.environment("local")
        ensure_state_bucket(emulator.client("s3"), environment.state.bucket, environment.region)
        yield emulator.environment(os.environ)
    finally:
        stop_emulator(settings)


def resize(root: Path) -> None:
    path = root / "terraform" / "environments" / "local.tfvars"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(*RESIZE), encoding="utf-8")


class Plain:
    """The script: the bare calls."""

    name = "plain script"

    def __init__(self, root: Path, env: dict[str, str], home: Path) -> None:
        self.root, self.home = root, home
        self.env = {**env, "TF_DATA_DIR": str(home / "data"), "TF_IN_AUTOMATION": "1"}
        self.env.pop("TF_CLI_CONFIG_FILE", None)

    def change(self) -> None:
        mirror = find_provider_mirror()
        flags = ("skip_credentials_validation", "skip_metadata_api_check")
        flags += ("skip_requesting_account_id", "use_path_style")
        backend = [f"-backend-config={flag}=true" for flag in flags]
        backend += [
            "-backend-config=bucket=ray-platform-state-local",
            "-backend-config=key=local/terraform.tfstate",
            "-backend-config=region=us-east-1",
        ]
        plugins = [f"-plugin-dir={mirror}"] if mirror else []
        self.call("init", "-reconfigure", "-lockfile=readonly", *backend, *plugins)
        variables = ["-var-file=environments/local.tfvars", "-var=emulator=true"]
        plan = str(self.home / "plan.tfplan")
        self.call("plan", f"-out={plan}", *variables)
        self.call("show", "-json", plan)
        self.call("apply", plan)

    def call(self, command: str, *arguments: str) -> None:
        subprocess.run(
            ["terraform", command, *(["-input=false"] if command != "show" else []), *arguments],
            cwd=self.root / "terraform",
            env=self.env,
            check=True,
            stdout=subprocess.DEVNULL,
        )


class Platform:
    """The `change` job, in a process of its own as a run is."""

    name = "platform"

    def __init__(self, root: Path, env: dict[str, str], home: Path) -> None:
        self.root, self.home = root, home

    def change(self) -> None:
        env = {
            **os.environ,
            "RAY_PLATFORM_ROOT": str(self.root),
            "RAY_PLATFORM_HOME": str(self.home),
            "RAY_PLATFORM_PORT_BASE": str(PORT_BASE + 10),
        }
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PLATFORM],
            cwd=self.root,
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def measure(kind: type[Plain] | type[Platform], port_base: int) -> list[float]:
    """Seconds of the first apply, of a run with nothing to do, and of a resized pool."""
    with tempfile.TemporaryDirectory(prefix="ray-platform-bench-") as folder:
        root = copy_of_root(Path(folder) / "checkout")
        home = Path(folder) / "home"
        home.mkdir()
        settings = Settings(root, home, {"RAY_PLATFORM_PORT_BASE": str(port_base)})
        with emulator_of(settings) as env:
            subject = kind(root, env, home)
            taken = []
            for step in range(3):
                if step == 2:
                    resize(root)
                start = time.perf_counter()
                subject.change()
                taken.append(time.perf_counter() - start)
            return taken


def main() -> None:
    plain = measure(Plain, PORT_BASE)
    platform = measure(Platform, PORT_BASE + 10)
    print("Seconds, once each, one after the other on the same machine.\n")
    print("| change | plain script | platform | ratio |\n|---|--:|--:|--:|")
    for name, bare, ours in zip(
        ("first apply (74 resources)", "nothing changed", "one pool resized"),
        plain,
        platform,
        strict=True,
    ):
        print(f"| {name} | {bare:.1f} | {ours:.1f} | {ours / bare:.2f} |")


if __name__ == "__main__":
    main()
