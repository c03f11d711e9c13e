"""An autoscaler for one worker group: the double of Ray's own, held to it by tests/contract/scheduler."""

from collections.abc import Sequence

from ray_platform.whatif.demand import Group, NodeView, ScalingDecision


class OneGroup:
    """As many nodes as tasks wait (one task of one CPU each), and none that idled for too long."""

    def __init__(self, group: Group, idle_timeout_seconds: float = 6) -> None:
        self.group, self.idle_timeout_seconds = group, idle_timeout_seconds

    def decide(self, nodes: Sequence[NodeView], pending: int) -> ScalingDecision:
        room = sum(1 for node in nodes if node.free_cpus >= 1)
        wanted = max(pending - room, self.group.min - len(nodes), 0)
        launch = min(wanted, self.group.max - len(nodes))
        idle = [node for node in nodes if node.up and node.idle_seconds > self.idle_timeout_seconds]
        spare = max(0, len(nodes) - self.group.min) if not pending else 0
        return ScalingDecision(
            launch={self.group.name: launch} if launch else {},
            terminate=tuple(node.node_id for node in idle[:spare]),
            infeasible=max(0, pending - room - launch),
        )
