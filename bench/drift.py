"""The cost of watching: a look for drift through the platform against a bare refresh.

Bare is ``terraform plan -refresh-only`` and nothing else. The platform's look is the job `drift` in a
process of its own, as the schedule starts it: one plan with what Git asks for, the list of what lies
beside Terraform, causes, report, check and incidents. At most two at a time, as the Dagster pool
`terraform` lets run on two cores. CPU seconds are those of all processes of a look, without the emulator.

`local` is applied once; the other environments are copies of its state under other keys and names, so
that each refreshes the same 74 resources. Run: ``.venv/bin/python bench/drift.py`` (about six minutes).
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ray_platform.session.environment_session import open_session

sys.path.insert(0, str(Path(__file__).resolve().parent))
from apply import copy_of_root
from ray_platform_sandbox.aws.service import Emulator, ensure_emulator, stop_emulator

from ray_platform.config.settings import Settings
from ray_platform.records.infra_version import Applied
from ray_platform.records.records_store import Records
from ray_platform.terraform.state_bucket_store import ensure_state_bucket

PORT_BASE = 5800
COUNTS = (1, 4, 8)
AT_ONCE = 2
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Taken:
    """CPU seconds of an environment, seconds of all of them, and the most memory held at once in MiB."""

    cpu: float
    seconds: float
    memory: float


class Memory:
    """The resident memory of all descendants of this process but one, looked at ten times a second."""

    def __init__(self, but: int) -> None:
        self.but, self.most, self._over = but, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._over.wait(0.1):
            parents, sizes = {}, {}
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(folder.name)], sizes[int(folder.name)] = int(fields[1]), int(fields[21])
            held = sum(size for pid, size in sizes.items() if self._is_ours(pid, parents))
            self.most = max(self.most, held * page / _MIB)

    def _is_ours(self, pid: int, parents: dict[int, int]) -> bool:
        while pid in parents and pid != self.but:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False


def environments(root: Path, count: int) -> list[str]:
    """`local` and copies of it, each with a state of its own."""
    names = ["local", *(f"copy{number}" for number in range(2, count + 1))]
    for name in names[1:]:
        text = (root / "environments" / "local.toml").read_text(encoding="utf-8")
        text = text.replace("local/terraform.tfstate", f"{name}/terraform.tfstate")
        (root / "environments" / f"{name}.toml").write_text(text, encoding="utf-8")
        shutil.copy(
            root / "terraform" / "environments" / "local.tfvars",
            root / "terraform" / "environments" / f"{name}.tfvars",
        )
    return names


def apply_and_copy(settings: Settings, emulator: Emulator, names: Sequence[str]) -> None:
    """Apply `local`, then give each environment its state and the record of an apply."""
    session = open_session(settings, "local")
    place = session.environment.state
    ensure_state_bucket(emulator.client("s3"), place.bucket, session.environment.region)
    terraform = session.terraform()
    terraform.init()
    terraform.apply(terraform.plan(settings.home / "first.tfplan").file)
    content, state = terraform.raw_state(), terraform.state()
    for name in names:
        key = settings.environment(name).state.key
        emulator.client("s3").put_object(Bucket=place.bucket, Key=key, Body=content)
        applied = Applied(
            commit=session.revision.commit,
            changes_digest="",
            configuration_digest="",
            variables_digest="",
            provider_lock_digest="",
            plan_digest="",
            state_lineage=state.lineage,
            state_serial=state.serial,
            modules={},
            policy_bundle_digest="",
            price_book_version="",
        )
        Records(session.artifacts, name).save_applied(applied)
        open_session(settings, name).terraform().init()


def bare(settings: Settings, emulator: Emulator, name: str) -> None:
    """Nothing but the refresh, in the data folder that the platform prepared."""
    session = open_session(settings, name)
    subprocess.run(
        [
            "terraform",
            "plan",
            "-refresh-only",
            "-input=false",
            f"-var-file={session.environment.variables_file}",
            "-var=emulator=true",
            f"-var=repository={session.git.remote()}",
            f"-var=commit={session.revision.commit}",
        ],
        cwd=settings.terraform_root,
        env={
            **emulator.environment(os.environ),
            "TF_DATA_DIR": str(session.terraform().data_dir),
            "TF_IN_AUTOMATION": "1",
        },
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def platform(settings: Settings, emulator: Emulator, name: str) -> None:
    """The job `drift`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "ray_platform.cli", "drift", "--env", name],
        cwd=settings.root,
        env={
            **os.environ,
            "PYTHONPATH": str(settings.root),
            "RAY_PLATFORM_ROOT": str(settings.root),
            "RAY_PLATFORM_HOME": str(settings.home),
            "RAY_PLATFORM_PORT_BASE": str(settings.port_base),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def measure(look: Callable[[str], None], names: Sequence[str], but: int) -> Taken:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with Memory(but) as memory, ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(look, names))
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(cpu / len(names), seconds, memory.most)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-platform-bench-") as folder:
        root = copy_of_root(Path(folder) / "checkout")
        home = Path(folder) / "home"
        home.mkdir()
        names = environments(root, max(COUNTS))
        settings = Settings(root, home, {"RAY_PLATFORM_PORT_BASE": str(PORT_BASE)})
        emulator = ensure_emulator(settings)
        try:
            apply_and_copy(settings, emulator, names)
            platform(settings, emulator, "local")  # Dagster makes its storage the first time
            print("| environments | | CPU s each | ratio | seconds, all | MiB at most |")
            print("|--:|---|--:|--:|--:|--:|")
            for count in COUNTS:
                chosen = names[:count]
                plain = measure(lambda n: bare(settings, emulator, n), chosen, emulator.pid)
                ours = measure(lambda n: platform(settings, emulator, n), chosen, emulator.pid)
                for what, taken in (("bare refresh", plain), ("platform", ours)):
                    print(
                        f"| {count} | {what} | {taken.cpu:.1f} | {taken.cpu / plain.cpu:.2f} "
                        f"| {taken.seconds:.0f} | {taken.memory:,.0f} |",
                        flush=True,
                    )
        finally:
            stop_emulator(settings)


if __name__ == "__main__":
    main()
