"""The head of the local Ray cluster, run as ``python -m ray_platform_sandbox.ray.head SPEC.json``.

Everything that leans on Ray's developer interfaces stands here, which is why Ray is pinned
exactly. The ``ray start`` command is not used: it replaces 127.0.0.1 by the machine's outward
address, and it opens a Ray Client port.
"""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

if TYPE_CHECKING:
    from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
else:
    # Only the head and the autoscaler import this module, and both are Ray.
    from ray.autoscaler._private.fake_multi_node.node_provider import (
        FakeMultiNodeProvider,
    )

LOOPBACK = "127.0.0.1"
WORKER_STORE_BYTES = 80_000_000
HEAD_STORE_BYTES = 150_000_000
WATCH_SECONDS = 1.0
#: Job submission, the node list and the autoscaler's state; Serve, Data, Train and Prometheus stay
#: out.
DASHBOARD_MODULES = ("JobHead", "NodeHead", "StateHead", "ReportHead", "EventHead")


class LoopbackNodeProvider(FakeMultiNodeProvider):
    """Starts worker nodes as processes that listen on 127.0.0.1 alone, as cheaply as Ray can."""

    def _create_node_with_resources_and_labels(
        self, node_config: Any, tags: Any, count: int, resources: Any, labels: Any
    ) -> None:
        with _cheap_loopback_nodes():
            create: Any = super()._create_node_with_resources_and_labels
            create(node_config, tags, count, resources, labels)


@contextlib.contextmanager
def _cheap_loopback_nodes() -> Iterator[None]:
    """Nodes made inside bind loopback, read no logs and run a minimal agent: half of a start's
    CPU."""
    import ray._private.parameter as parameter
    import ray._private.utils as utils

    original = parameter.RayParams

    def on_loopback(**values: Any) -> Any:
        values.update(
            node_ip_address=LOOPBACK,
            node_manager_port=0,
            object_manager_port=0,
            include_log_monitor=False,
            object_store_memory=WORKER_STORE_BYTES,
        )
        return original(**values)

    with (
        mock.patch.object(parameter, "RayParams", on_loopback),
        mock.patch.object(
            utils, "get_dashboard_dependency_error", lambda: ImportError("not wanted on a worker")
        ),
    ):
        yield


def run_head(spec: dict[str, Any]) -> NoReturn:
    """Start the head and stay until a signal, or until one of its processes dies.

    Args:
        spec: ``gcs_port``, ``dashboard_port``, ``temp_dir``, ``autoscaling_config`` (a path) and
            ``head_node_id``.
    """
    import ray._private.node as node
    import ray._private.services as services
    from ray._private.parameter import RayParams
    from ray._private.utils import write_ray_address

    start_process = services.start_ray_process

    def start_fewer(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        if process_type == "dashboard":
            command = [*command, f"--modules-to-load={','.join(DASHBOARD_MODULES)}"]
        return start_process(command, process_type, *args, **kwargs)

    services.start_ray_process = start_fewer
    # Where several clusters run on a machine, a job joins the one that stands here.
    Path(spec["temp_dir"]).mkdir(exist_ok=True)
    write_ray_address(f"{LOOPBACK}:{spec['gcs_port']}", spec["temp_dir"])
    make_node: Any = node.Node
    make_parameters: Any = RayParams
    head = make_node(
        make_parameters(
            node_ip_address=LOOPBACK,
            gcs_server_port=spec["gcs_port"],
            node_manager_port=0,
            object_manager_port=0,
            min_worker_port=0,
            max_worker_port=0,
            num_cpus=0,
            num_gpus=0,
            object_store_memory=HEAD_STORE_BYTES,
            temp_dir=spec["temp_dir"],
            include_dashboard=True,
            dashboard_host=LOOPBACK,
            dashboard_port=spec["dashboard_port"],
            dashboard_agent_listen_port=0,
            include_log_monitor=False,
            autoscaling_config=spec["autoscaling_config"],
            env_vars={"RAY_OVERRIDE_NODE_ID_FOR_TESTING": spec["head_node_id"]},
        ),
        head=True,
        # Ray's own handlers wait for each of its processes in turn, and half-started for ever: SIGTERM
        # keeps its default, and whoever stops the service ends the workers too.
        shutdown_at_exit=False,
        # The kernel ends the head's processes with it.
        spawn_reaper=True,
    )
    logging.info("the head runs")
    while not (dead := head.dead_processes()):
        time.sleep(WATCH_SECONDS)
    logging.error("ended by themselves: %s", ", ".join(str(name) for name, _ in dead))
    sys.exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run_head(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
