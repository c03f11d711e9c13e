"""The workload's command line: a task takes a whole worker, also while no worker is up yet."""

from pathlib import Path
from typing import Any

from ray_platform.config.settings import Settings
from ray_platform.ray.cluster_client import ClusterInfo
from ray_platform.ray.endpoint import RayEndpoint
from ray_platform.session.environment_session import open_session
from ray_platform.training.burst import workload_command

ROOT = Path(__file__).resolve().parents[3]


def test_on_one_machine_a_worker_has_one_cpu_whether_or_not_one_is_up(tmp_path: Path) -> None:
    nobody = ClusterInfo(address="http://127.0.0.1:1", ray_version="", session="", nodes=())
    endpoint: Any = RayEndpoint("http://127.0.0.1:1", None, nobody)
    command = workload_command(open_session(Settings(ROOT, tmp_path, {}), "local"), endpoint, "run")
    assert command[command.index("--cpus-per-worker") + 1] == "1"
