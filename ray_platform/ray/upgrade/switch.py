"""Which of two Ray clusters takes new work, and how far a blue/green upgrade has come.

One Service object holds both: its selector names the cluster that takes new work, an annotation the upgrade
that is under way. So a switch is one write, and whoever finds the object after a crash knows where to go on::

    (nothing) -> preparing -> draining -> (nothing)
                     |            |
                     +-> backing out -> (nothing)

While it is ``preparing`` or ``backing-out`` the cluster that was there before takes the work; while it is
``draining`` the new one does.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from ray_platform.text.errors import RayError

#: Releases of the chart helm/ray, and their RayClusters. The first holds what the namespace has once
#: (service account, quota, limit range) also while its RayCluster is away. Terraform's role trusts the
#: account of the first's name.
BLUE, GREEN = "ray", "ray-green"
NAMES = (BLUE, GREEN)
#: The one address of Ray that an upgrade does not change.
SERVICE = "ray-active"
ANNOTATION = "ray-platform/upgrade"
_CLUSTER_LABEL, _TYPE_LABEL = "ray.io/cluster", "ray.io/node-type"
_PORTS = {"dashboard": 8265, "client": 10001, "serve": 8000}

Step = Literal["preparing", "draining", "backing-out"]
PREPARING: Final = "preparing"
DRAINING: Final = "draining"
BACKING_OUT: Final = "backing-out"


@dataclass(frozen=True)
class Upgrade:
    """An upgrade under way, from one cluster to the other; times in ISO 8601, empty for none.

    ``moved`` is when new work was last sent elsewhere, ``deadline`` until when the jobs of the cluster
    that goes may run.
    """

    before: str
    after: str
    step: Step
    started: str
    moved: str = ""
    deadline: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Switch:
    """The cluster that takes new work, and the upgrade under way, if any.

    ``version`` is the resource version of the object that said so, empty where there is none yet.
    """

    active: str = BLUE
    upgrade: Upgrade | None = None
    version: str = ""

    @property
    def other(self) -> str:
        """The cluster that takes no new work, whether it stands or not."""
        return GREEN if self.active == BLUE else BLUE

    def preparing(self, at: datetime) -> "Switch":
        """An upgrade that begins."""
        upgrade = Upgrade(self.active, self.other, PREPARING, started=at.isoformat())
        return replace(self, upgrade=upgrade)

    def switched(self, at: datetime, until: datetime) -> "Switch":
        """The new cluster takes the work, the old one is drained."""
        upgrade = replace(self._under_way, step=DRAINING, moved=at.isoformat())
        return replace(self, active=upgrade.after, upgrade=upgrade).until(until)

    def backing_out(self, at: datetime) -> "Switch":
        """The old cluster takes the work, as before; the new one is drained."""
        was = self._under_way
        moved = at.isoformat() if was.step == DRAINING else was.moved
        upgrade = replace(was, step=BACKING_OUT, moved=moved)
        return replace(self, active=upgrade.before, upgrade=upgrade)

    def until(self, deadline: datetime) -> "Switch":
        """Until when the jobs of the cluster that goes may run."""
        return replace(self, upgrade=replace(self._under_way, deadline=deadline.isoformat()))

    def settled(self) -> "Switch":
        """The upgrade is over."""
        return replace(self, upgrade=None)

    @property
    def _under_way(self) -> Upgrade:
        if self.upgrade is None:
            raise ValueError("no upgrade is under way")
        return self.upgrade


def read_switch(service: Mapping[str, Any] | None) -> Switch:
    """What the Service object says; without one the first cluster takes the work.

    Raises:
        RayError: somebody has written into it what the platform does not understand.
    """
    if service is None:
        return Switch()
    metadata = service["metadata"]
    active = str(((service.get("spec") or {}).get("selector") or {}).get(_CLUSTER_LABEL, ""))
    text = (metadata.get("annotations") or {}).get(ANNOTATION, "")
    try:
        upgrade = Upgrade(**json.loads(text)) if text else None
        if active not in NAMES or (upgrade and {upgrade.before, upgrade.after} != set(NAMES)):
            raise ValueError(active)
        if upgrade and active != (upgrade.after if upgrade.step == DRAINING else upgrade.before):
            raise ValueError(upgrade.step)
    except (TypeError, ValueError) as error:
        raise RayError(
            f"it is not understood which Ray cluster takes new work: {error}",
            where=f"service {metadata.get('namespace', '')}/{SERVICE}",
            fix=f"delete that service while {BLUE} is the only RayCluster; `ray-platform up` makes it anew",
        ) from error
    return Switch(active, upgrade, str(metadata.get("resourceVersion", "")))


def service_of(switch: Switch, namespace: str) -> dict[str, Any]:
    """The Service object that says it; with the resource version, so that nobody's write is lost."""
    metadata: dict[str, Any] = {
        "name": SERVICE,
        "namespace": namespace,
        "labels": {
            "app.kubernetes.io/name": "ray",
            "app.kubernetes.io/managed-by": "ray-platform",
        },
        "annotations": {ANNOTATION: json.dumps(switch.upgrade.to_json()) if switch.upgrade else ""},
    }
    if switch.version:
        metadata["resourceVersion"] = switch.version
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": {_CLUSTER_LABEL: switch.active, _TYPE_LABEL: "head"},
            "ports": [
                {"name": name, "port": port, "targetPort": port} for name, port in _PORTS.items()
            ],
        },
    }


def release_values(values: Mapping[str, Any], name: str, *, stands: bool = True) -> dict[str, Any]:
    """The chart's values for one of the two releases.

    Args:
        values: Those of the environment, as for the first release.
        name: The release.
        stands: Whether its RayCluster is to stand; without, what the namespace has once is left.
    """
    own = copy.deepcopy(dict(values))
    if name != BLUE:
        # What the namespace has once is the first release's.
        own["serviceAccount"] = {**own.get("serviceAccount", {}), "create": False, "name": BLUE}
        own["quota"] = {**own.get("quota", {}), "enabled": False}
        own["limitRange"] = {**own.get("limitRange", {}), "enabled": False}
    if not stands:
        own["rayCluster"] = {**own.get("rayCluster", {}), "enabled": False}
    return own
