"""Ray's own autoscaler v2 scheduler, asked in this process: no cluster, no node, no network.

`ResourceDemandScheduler` is a developer interface of Ray, which is why Ray is pinned exactly; it stands
in this file alone. `ray_platform.whatif.demand` says what is asked and what is answered.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray_platform.text.errors import RayError
from ray_platform.whatif.demand import Group, NodeView, ScalingDecision, Task

if TYPE_CHECKING:
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingReply


class RayScheduler:
    """Decides as the autoscaler of a cluster with these worker groups would.

    Args:
        groups: The worker groups; a node offers the group's ``cpus`` and ``gpus``.
        task: What one task asks for.
        idle_timeout_seconds: How long a node idles before it is taken away.

    Raises:
        RayError: this Ray has no such scheduler, or it refuses the groups.
    """

    def __init__(self, groups: Sequence[Group], task: Task, idle_timeout_seconds: float) -> None:
        try:
            from ray.autoscaler.v2 import scheduler
            from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

            # It tells of each node that it keeps for a group's minimum, every time.
            scheduler.logger.setLevel(logging.WARNING)
            self._scheduler: ResourceDemandScheduler = scheduler.ResourceDemandScheduler()
            self._types = {
                group.name: NodeTypeConfig(
                    name=group.name,
                    min_worker_nodes=group.min,
                    max_worker_nodes=group.max,
                    resources=_resources(group.cpus, group.gpus),
                )
                for group in groups
            }
        except Exception as error:  # a developer interface: what it raises is not promised
            raise _failed(error) from error
        self._groups = {group.name: group for group in groups}
        self._task = task
        self._idle_timeout_seconds = idle_timeout_seconds

    def decide(self, nodes: Sequence[NodeView], pending: int) -> ScalingDecision:
        """What to launch and what to end now.

        Raises:
            RayError: the scheduler fails.
        """
        try:
            reply = self._ask(nodes, pending)
            launch: dict[str, int] = {}
            for request in reply.to_launch:
                launch[request.instance_type] = launch.get(request.instance_type, 0) + request.count
            return ScalingDecision(
                launch=launch,
                terminate=tuple(request.instance_id for request in reply.to_terminate),
                infeasible=len(reply.infeasible_resource_requests),
            )
        except Exception as error:  # as above
            raise _failed(error) from error

    def _ask(self, nodes: Sequence[NodeView], pending: int) -> "SchedulingReply":
        from ray.autoscaler.v2.scheduler import SchedulingRequest
        from ray.autoscaler.v2.utils import ResourceRequestUtil

        wanted = [_resources(self._task.cpus, self._task.gpus)] * pending
        return self._scheduler.schedule(
            SchedulingRequest(
                disable_launch_config_check=True,
                node_type_configs=self._types,
                idle_timeout_s=self._idle_timeout_seconds,
                resource_requests=ResourceRequestUtil.group_by_count(
                    [ResourceRequestUtil.make(shape) for shape in wanted]
                ),
                current_instances=[self._instance(node) for node in nodes],
            )
        )

    def _instance(self, node: NodeView) -> Any:
        from ray.autoscaler.v2.schema import AutoscalerInstance
        from ray.core.generated import autoscaler_pb2, instance_manager_pb2

        # Generated modules: their messages are made when they are imported.
        messages: Any = instance_manager_pb2
        states: Any = autoscaler_pb2
        group = self._groups[node.group]
        instance = messages.Instance(
            instance_id=node.node_id,
            instance_type=node.group,
            node_kind=messages.NodeKind.WORKER,
            status=messages.Instance.RAY_RUNNING if node.up else messages.Instance.REQUESTED,
        )
        if not node.up:
            return AutoscalerInstance(im_instance=instance)
        instance.node_id = node.node_id
        instance.cloud_instance_id = node.node_id
        return AutoscalerInstance(
            im_instance=instance,
            cloud_instance_id=node.node_id,
            ray_node=states.NodeState(
                node_id=node.node_id.encode(),
                ray_node_type_name=node.group,
                total_resources=_resources(group.cpus, group.gpus),
                available_resources=_resources(node.free_cpus, node.free_gpus),
                idle_duration_ms=int(node.idle_seconds * 1000),
            ),
        )


def _resources(cpus: float, gpus: float) -> dict[str, float]:
    return {"CPU": cpus, **({"GPU": gpus} if gpus else {})}


def _failed(error: Exception) -> RayError:
    return RayError(
        f"Ray's autoscaler cannot be asked: {error!r}",
        where="ray.autoscaler.v2.scheduler",
        fix="install the pinned Ray: its version stands in pyproject.toml",
    )
