"""Asks a Ray cluster over HTTP (its dashboard's address) what it is; never joins it.

Every request carries the cluster's token when there is one. The token is read from its file at each
request, so that it can be renewed, and it stands in no message.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_platform.ray.spec import GROUP_LABEL, HEAD_GROUP, INSTANCE_TYPE_LABEL
from ray_platform.text.errors import RayError

REQUEST_SECONDS = 10.0
POLL_SECONDS = 0.25
#: How Ray's state API begins the message of a node that was lost (``compose_state_message``).
LOST = ("Unexpected termination", "Terminated due to preemption")


@dataclass(frozen=True)
class RayNode:
    """A node of the cluster, also one that is gone. Times in seconds since 1970; ``end`` None: it
    is up; ``lost``: it ended although nobody had asked it to, or its machine was taken back."""

    node_id: str
    group: str
    instance_type: str
    start: float
    end: float | None
    resources: Mapping[str, float]
    lost: bool

    @property
    def is_up(self) -> bool:
        return self.end is None


@dataclass(frozen=True)
class ClusterInfo:
    """What the cluster says of itself. ``nodes`` holds every node of its life, the head among
    them."""

    address: str
    ray_version: str
    session: str
    nodes: tuple[RayNode, ...]

    def up(self) -> dict[str, int]:
        """Nodes that are up, by worker group."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            if node.is_up:
                counts[node.group] = counts.get(node.group, 0) + 1
        return counts


def get_json(
    address: str, path: str, token_path: Path | None = None, *, timeout: float = REQUEST_SECONDS
) -> Any:
    """The JSON answer of the cluster to a GET.

    Args:
        address: As in ``http://127.0.0.1:8265``.
        path: Begins with ``/``.
        token_path: The file that holds the cluster's token; None: it asks for none.
        timeout: Seconds.

    Raises:
        RayError: it does not answer, refuses, or answers something else than JSON.
    """
    if not address.startswith(("http://", "https://")):
        raise RayError(
            f"{address!r} is no address of a Ray cluster",
            where="[ray] address",
            fix="give the dashboard's address, as in http://HOST:8265",
        )
    request = urllib.request.Request(f"{address.rstrip('/')}{path}")  # noqa: S310  (checked above)
    if token_path is not None:
        try:
            token = token_path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise RayError(
                f"the cluster's token cannot be read: {error.strerror}",
                where=str(token_path),
                fix="run `ray-platform up`, or name the right token file",
            ) from error
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        refused = error.code in (401, 403)
        raise RayError(
            f"the Ray cluster answers {error.code} {error.reason}",
            where=f"{address}{path}",
            fix="give the token of this cluster" if refused else "read the head's dashboard log",
        ) from error
    except ValueError as error:
        raise RayError(
            "what answers there is not a Ray dashboard",
            where=f"{address}{path}",
            fix="give the dashboard's address, as in http://HOST:8265",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise RayError(
            f"the Ray cluster does not answer: {getattr(error, 'reason', None) or error!r}",
            where=address,
            fix="see that its head runs and that this machine reaches it",
        ) from error


def describe_cluster(address: str, token_path: Path | None = None) -> ClusterInfo:
    """What the cluster is and which nodes it has and had.

    Raises:
        RayError: it does not answer as a Ray cluster does.
    """
    version = get_json(address, "/api/version", token_path)
    answer = get_json(address, "/api/v0/nodes?detail=1&limit=1000", token_path)
    try:
        rows = answer["data"]["result"]["result"]
        return ClusterInfo(
            address=address,
            ray_version=str(version["ray_version"]),
            session=str(version.get("session_name", "")),
            nodes=tuple(sorted((_node(row) for row in rows), key=lambda n: (n.start, n.node_id))),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RayError(
            f"the Ray cluster's answer is not understood: {error!r}",
            where=address,
            fix="see that it runs the Ray version that this project pins",
        ) from error


def _node(row: Mapping[str, Any]) -> RayNode:
    labels, resources = row.get("labels") or {}, row.get("resources_total") or {}
    group = str(labels.get(GROUP_LABEL) or ("gpu" if resources.get("GPU") else "worker"))
    end = (row.get("end_time_ms") or 0) / 1000
    return RayNode(
        node_id=str(row["node_id"]),
        group=HEAD_GROUP if row.get("is_head_node") else group,
        instance_type=str(labels.get(INSTANCE_TYPE_LABEL, "")),
        start=(row.get("start_time_ms") or 0) / 1000,
        end=(end or time.time()) if row.get("state") == "DEAD" else None,
        resources=dict(resources),
        lost=str(row.get("state_message") or "").startswith(LOST),
    )


def is_ready(address: str, token_path: Path | None = None) -> bool:
    """Whether the head is up and takes jobs.

    Raises:
        RayError: with the reason when it does not answer.
    """
    get_json(address, "/api/jobs/", token_path, timeout=5)
    return any(
        node.group == HEAD_GROUP and node.is_up
        for node in describe_cluster(address, token_path).nodes
    )


def wait_ready(
    address: str, token_path: Path | None = None, *, timeout_seconds: float
) -> ClusterInfo:
    """The cluster, once its head is up and takes jobs.

    Raises:
        RayError: it was not ready in time; says the last reason.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        reason = "its head is not up"
        try:
            if is_ready(address, token_path):
                return describe_cluster(address, token_path)
        except RayError as error:
            reason = error.what
        if time.monotonic() >= deadline:
            raise RayError(
                f"the Ray cluster was not ready within {timeout_seconds:.0f} s: {reason}",
                where=address,
                fix="read its head's log; `ray-platform doctor` checks what it needs",
            )
        time.sleep(POLL_SECONDS)
