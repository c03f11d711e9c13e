"""Drift: what the live API says against the state, its causes, out of one plan that serves all; and Ray's.

The plan is an ordinary one, not ``-refresh-only``: the same refresh tells what drifted and what the
configuration in Git asks for. It is thrown away; nothing can be applied from it.
"""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ray_platform.drift.causes import Evidence, Scaling
from ray_platform.drift.cloudtrail_client import cloudtrail, events_of
from ray_platform.drift.conditions import NODE_COUNT
from ray_platform.drift.configuration import read_configuration
from ray_platform.drift.detect_release import ray_drift
from ray_platform.drift.inventory_client import inventory
from ray_platform.drift.items import DriftItem, drift_items, in_order
from ray_platform.drift.rules import RuleBook, read_rules
from ray_platform.drift.trail import TrailEvent, names_of
from ray_platform.drift.unmanaged import LiveResource, find_unmanaged
from ray_platform.ray.cluster_client import RayNode
from ray_platform.ray.endpoint import ray_info_now
from ray_platform.ray.spec import HEAD_GROUP
from ray_platform.session.applied import require_applied
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.plan import Plan, ResourceChange, read_plan
from ray_platform.terraform.state import TerraformState
from ray_platform.text.errors import KubernetesError, RayError, SettingsError, ToolError
from ray_platform.text.redaction import plan_secrets

RULES_FILE = "drift.toml"
#: How far back calls are looked for in the audit trail.
_LOOK_BACK = dt.timedelta(days=30)
#: IAM is one for all regions, and so are its events.
_GLOBAL_REGION = "us-east-1"
_NO_DRIFT = read_plan({"format_version": "1.0", "resource_changes": []})


def find_drift(
    session: EnvironmentSession, *, progress: Callable[[str], None]
) -> tuple[DriftItem, ...]:
    """Each difference of what lives from the state and from the release of Ray, the worst first.

    Raises:
        NotFoundError: nothing is applied, so nothing can have drifted.
        StalePlan: an apply was cut short; what differs then is no drift.
        SettingsError: the rules are wrong.
        PlatformError: Terraform's.
    """
    book = drift_rules(session)
    terraform = session.terraform(progress)
    terraform.init()
    require_applied(session, terraform)
    with tempfile.TemporaryDirectory(prefix="ray-platform-drift-") as folder:
        made = terraform.look_for_drift(Path(folder) / "drift.tfplan")
    state = terraform.state()
    items = weigh(session, made.json if made else None, state, book=book, progress=progress)
    of_ray = ray_drift(session, book, progress=progress)
    return in_order((*items, *(item.masked(state.secrets) for item in of_ray)))


def weigh(
    session: EnvironmentSession,
    plan_json: Mapping[str, Any] | None,
    state: TerraformState,
    *,
    book: RuleBook,
    progress: Callable[[str], None],
) -> tuple[DriftItem, ...]:
    """The items of a plan that was made already.

    Args:
        session: The environment.
        plan_json: The JSON of an ordinary plan of it; None: nothing in the state drifted.
        state: The state that the plan was made from.
        book: How severe what is.
        progress: Is told what is being done, a line at a time.
    """
    beside = unmanaged_resources(session, state)
    if plan_json is None:
        plan, configuration = _NO_DRIFT, None
    else:
        plan = read_plan(plan_json, where=f"the refresh of {session.name}")
        configuration = read_configuration(plan, plan_json, _files(session.settings.terraform_root))
    if not (plan.drift or beside):
        return ()
    trail, note = _trail(session, plan, beside, progress)
    evidence = Evidence(configuration, trail, note, _scaling(session, plan, progress))
    items = drift_items(
        plan, book, pools=session.environment.node_pools, evidence=evidence, unmanaged=beside
    )
    known = state.secrets | plan_secrets(plan_json or {})
    return tuple(item.masked(known) for item in items)


def drift_rules(session: EnvironmentSession) -> RuleBook:
    """The rules of ``policies/drift.toml``.

    Raises:
        SettingsError: missing or malformed.
    """
    path = session.settings.policy_root / RULES_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the drift rules cannot be read: {error}",
            where=str(path),
            fix="restore the file from Git",
        ) from error
    return read_rules(text, where=str(path))


def unmanaged_resources(
    session: EnvironmentSession, state: TerraformState
) -> tuple[LiveResource, ...]:
    """What lives in the environment's VPC and cluster beside Terraform, without our tags."""
    cluster = str(state.outputs.get("cluster_name") or "")
    live = inventory(session.aws, vpc_id=str(state.outputs.get("vpc_id") or ""), cluster=cluster)
    return find_unmanaged(live, state.resources, environment=session.name, cluster=cluster)


def scaling_of(nodes: Iterable[RayNode]) -> dict[str, Scaling]:
    """What Ray's autoscaler did in the life of its cluster, by worker group, which is the pool."""
    seen: dict[str, Scaling] = {}
    for node in nodes:
        if node.group == HEAD_GROUP:
            continue
        before = seen.get(node.group, Scaling(node.group, 0, 0, ""))
        ended = node.end is not None
        last = _iso(node.start if node.end is None else node.end)
        seen[node.group] = Scaling(
            node.group, before.started + 1, before.ended + ended, max(before.last, last)
        )
    return seen


def _scaling(
    session: EnvironmentSession, plan: Plan, progress: Callable[[str], None]
) -> dict[str, Scaling]:
    """What Ray itself says of its nodes; asked only where a node count moved."""
    if not any(_moved(change) for change in plan.drift):
        return {}
    try:
        cluster = ray_info_now(session)
    except (KubernetesError, RayError) as error:
        progress(f"What the autoscaler did is not known: {error.what}")
        return {}
    return scaling_of(cluster.nodes) if cluster else {}


def _moved(change: ResourceChange) -> bool:
    head = NODE_COUNT.partition(".")[0]
    return change.type == "aws_eks_node_group" and change.before.get(head) != change.after.get(head)


def _trail(
    session: EnvironmentSession,
    plan: Plan,
    beside: Iterable[LiveResource],
    progress: Callable[[str], None],
) -> tuple[tuple[TrailEvent, ...], str]:
    """(calls on what drifted, why there are none). Drift is told also where the trail is closed to us."""
    if session.cloud.is_disposable:
        return (), "the emulator keeps no audit trail: who and when are not known"
    iam: list[str] = []
    others: list[str] = []
    for change in plan.drift:
        names = [name for group in names_of(change.type, change.before) for name in group[:1]]
        (iam if change.type.startswith("aws_iam_") else others).extend(names)
    others += [name for item in beside for name in (item.id.rpartition(":")[2], item.arn) if name]
    since = dt.datetime.now(dt.UTC) - _LOOK_BACK
    try:
        found = {
            event.id: event
            for region, names in ((session.environment.region, others), (_GLOBAL_REGION, iam))
            if names
            for event in events_of(cloudtrail(region), names, since=since)
        }
    except ToolError as error:
        progress(f"Who changed it is not known: {error.what}")
        return (), f"the audit trail could not be read: {error.what}"
    return tuple(found.values()), "no call in the audit trail tells it"


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in root.rglob("*.tf")
        if ".terraform" not in path.relative_to(root).parts
    }


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
