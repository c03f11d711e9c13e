"""A Kubernetes API in memory for the replay of a recording: what the kubelet, the scheduler and the other
controllers did is taken from the recording, what the operator does is the stand-in's.

Pods get the names that the recording gives them, so that both can be compared as they are.
"""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.objects import Refused
from ray_platform_sandbox.kuberay.recreate_hash import recreate_hash
from ray_platform_sandbox.kubernetes.admission import Admission
from ray_platform_sandbox.kubernetes.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Api, Request
from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.journal import Journal
from ray_platform_sandbox.kubernetes.paths import Target
from ray_platform_sandbox.kubernetes.server import register_kuberay
from ray_platform_sandbox.kubernetes.store import Event

Content = dict[str, Any]
OPERATOR = "kuberay-operator"
#: Holds a deleted pod until the recording's kubelet has ended it.
HELD = "replay.local/kubelet"
_MEDIA = {"merge": MERGE_PATCH, "json": JSON_PATCH}
_GROUPS = {
    "rayclusters": ("ray.io", "v1"),
    "rayjobs": ("ray.io", "v1"),
    "rayservices": ("ray.io", "v1"),
    "raycronjobs": ("ray.io", "v1"),
    "jobs": ("batch", "v1"),
    "roles": ("rbac.authorization.k8s.io", "v1"),
    "rolebindings": ("rbac.authorization.k8s.io", "v1"),
    "networkpolicies": ("networking.k8s.io", "v1"),
    "poddisruptionbudgets": ("policy", "v1"),
    "storageclasses": ("storage.k8s.io", "v1"),
}
_CLUSTERED = ("namespaces", "nodes", "persistentvolumes", "storageclasses")


def plural_of(kind: str) -> str:
    """A kind's collection."""
    if kind == "NetworkPolicy":
        return "networkpolicies"
    if kind == "StorageClass":
        return "storageclasses"
    return f"{kind.lower()}s"


class World:
    """The objects of a recording's namespace, and the events that the operator wrote.

    Args:
        folder: For the API's journal.
        namespace: The recording's.
        start: The time of its beginning.
    """

    def __init__(self, folder: Path, namespace: str, start: datetime) -> None:
        self.namespace = namespace
        self.now = start
        self._start = start
        self.changes: list[tuple[float, Event]] = []
        self.told: list[tuple[float, Content]] = []
        self._names: dict[str, list[str]] = {}
        self._is_quiet = True
        self.api = Api(Journal(folder), self._changed)
        self.api.store.collects_late = False
        register_kuberay(self.api)
        self._is_quiet = False

    @property
    def at(self) -> float:
        """Seconds since the start of the recording."""
        return (self.now - self._start).total_seconds()

    def move_to(self, seconds: float) -> None:
        self.now = self._start + timedelta(seconds=seconds)

    def names_for(self, prefix: str, name: str) -> None:
        """The next pod with this prefix is named so."""
        self._names.setdefault(prefix, []).append(name)

    def _changed(self, event: Event) -> None:
        if not self._is_quiet:
            self.changes.append((self.at, event))

    # --- as the operator sees it ---

    def get(self, plural: str, name: str) -> Content | None:
        found = self.api.store.get(self._key(plural, name))
        return copy.deepcopy(dict(found)) if found is not None else None

    def list(self, plural: str, labels: Mapping[str, str]) -> list[Content]:
        group, _ = _GROUPS.get(plural, ("", "v1"))
        items = self.api.store.of(group, plural, self.namespace)
        return [
            copy.deepcopy(dict(item))
            for item in items
            if labels.items() <= (item["metadata"].get("labels") or {}).items()
        ]

    def create(self, plural: str, content: Content) -> Content:
        body = copy.deepcopy(content)
        if plural == "pods":
            self._named(body)
            try:
                body = Admission(self.api.store).pod(body, self.namespace)
            except ApiFailure as failure:
                raise Refused(failure.message) from failure
            body["metadata"]["finalizers"] = [HELD]
        return self._asked(self._request(plural, "", body), "create")

    def update(self, plural: str, content: Content) -> Content:
        return self._asked(self._request(plural, content["metadata"]["name"], content), "update")

    def update_status(self, plural: str, content: Content) -> Content:
        name = content["metadata"]["name"]
        return self._asked(self._request(plural, name, content, subresource="status"), "update")

    def delete(self, plural: str, name: str) -> None:
        self._asked(self._request(plural, name, {}), "delete")

    def tell(
        self, about: Mapping[str, Any], kind: str, reason: str, action: str, note: str
    ) -> None:
        metadata = about["metadata"]
        regarding = {"kind": about["kind"], "name": metadata["name"]}
        event = {"regarding": regarding, "type": kind, "reason": reason, "action": action}
        self.told.append((self.at, {**event, "note": note}))

    # --- as the recording's other parts act on it ---

    def step(self, step: Mapping[str, Any]) -> tuple[int, int | None]:
        """Do what a client did; its answer's code and generation."""
        do, who = step["do"], step.get("by") or "unknown"
        content = step.get("object") or {}
        kind = str(step.get("kind") or content.get("kind"))
        name = str(step.get("name") or content.get("metadata", {}).get("name"))
        if do == "apply":
            request = self._request(plural_of(kind), name, content, who, media=APPLY_PATCH)
            if step.get("force"):
                request = _with_query(request, force="true")
            verb = "patch"
        elif do == "create":
            request, verb = self._request(plural_of(kind), "", content, who), "create"
        elif do == "patch":
            media = _MEDIA[step.get("type", "merge")]
            sub = str(step.get("subresource") or "")
            request = self._request(
                plural_of(kind), name, content, who, media=media, subresource=sub
            )
            verb = "patch"
        else:
            request, verb = self._request(plural_of(kind), name, content, who), "delete"
        try:
            is_new = verb == "create" or self.api.store.get(request.key) is None
            answer = getattr(self.api, verb)(request)
        except ApiFailure as failure:
            return failure.code, None
        code = 201 if is_new and verb != "delete" else 200
        return code, answer["metadata"].get("generation")

    def scale(self, name: str, operations: Any) -> int:
        """A patch of Ray's autoscaler; the answer's code."""
        request = self._request(
            "rayclusters", name, operations, "python-requests", media=JSON_PATCH
        )
        try:
            self.api.patch(request)
        except ApiFailure as failure:
            return failure.code
        return 200

    def set_up(self, content: Mapping[str, Any]) -> None:
        """An object of another controller, as it is; one that exists is brought in line."""
        plural = plural_of(content["kind"])
        body = {k: v for k, v in content.items() if k not in ("status", "apiVersion", "kind")}
        body = copy.deepcopy(body)
        old = self.get(plural, content["metadata"]["name"])
        for field in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
            body["metadata"].pop(field, None)
        body["metadata"].pop("deletionTimestamp", None)
        if plural == "pods":
            body["metadata"]["finalizers"] = [HELD]
        if old is None:
            request = self._request(plural, "", body, OPERATOR)
            self.api.create(request)
        elif plural == "rayclusters":
            body["metadata"]["finalizers"] = old["metadata"].get("finalizers") or []
            self.api.update(self._request(plural, content["metadata"]["name"], body, OPERATOR))

    def import_as_is(self, content: Mapping[str, Any]) -> None:
        """An object that stood when a part of a recording begins, with its uid, status and owners."""
        kind, name = content["kind"], content["metadata"]["name"]
        found = self.api.kinds.find(*_GROUPS.get(plural_of(kind), ("", "v1")), plural_of(kind))
        if found is None:
            return
        namespace = ("", "namespaces", "", self.namespace)
        if self.api.store.get(namespace) is None:
            self.api.store.put(namespace, {"metadata": {"name": self.namespace}})
        made = copy.deepcopy(dict(content))
        if plural_of(kind) == "pods" and is_of_cluster(content):
            self.adopt(content)
            return
        self.api.store.restore(self._key(plural_of(kind), name), made)

    def adopt(self, content: Mapping[str, Any]) -> None:
        """A pod that the operator made in rounds that a recording leaves out: its owner is the one here."""
        made = copy.deepcopy(dict(content))
        for reference in made["metadata"].get("ownerReferences") or []:
            owner = self.get(plural_of(reference["kind"]), reference["name"])
            if owner is not None:
                reference["uid"] = owner["metadata"]["uid"]
        made["metadata"]["finalizers"] = [HELD]
        cluster = self.get("rayclusters", made["metadata"]["labels"][names.CLUSTER])
        annotations = made["metadata"].get("annotations") or {}
        if cluster is not None and names.HASH in annotations:
            annotations[names.HASH] = recreate_hash(cluster["spec"])
        self.api.store.restore(self._key("pods", made["metadata"]["name"]), made)
        self.taken(made["metadata"]["name"])

    def set_status(self, content: Mapping[str, Any]) -> None:
        """The status that the recording's kubelet or job controller wrote, and the node."""
        plural, name = plural_of(content["kind"]), content["metadata"]["name"]
        old = self.get(plural, name)
        if old is None:
            return
        node = (content.get("spec") or {}).get("nodeName")
        if plural == "pods" and node and old["spec"].get("nodeName") != node:
            patch = {"spec": {"nodeName": node}}
            self.api.patch(self._request(plural, name, patch, "kubelet", media=MERGE_PATCH))
        if content.get("status") is not None:
            old = self.get(plural, name) or old
            body = {**old, "status": content["status"]}
            self.api.update(self._request(plural, name, body, "kubelet", subresource="status"))

    def end(self, plural: str, name: str) -> None:
        """An object is gone, whatever held it."""
        old = self.get(plural, name)
        if old is None:
            return
        if old["metadata"].get("finalizers"):
            old["metadata"]["finalizers"] = []
            self.api.update(self._request(plural, name, old, "kubelet"))
        if self.get(plural, name) is not None:
            self.api.delete(self._request(plural, name, {}, "kubelet"))

    def mark_deleted(self, plural: str, name: str) -> None:
        """Another controller deletes it."""
        if self.get(plural, name) is not None:
            self.api.delete(self._request(plural, name, {}, "other"))

    def _named(self, body: Content) -> None:
        prefix = body["metadata"].get("generateName", "")
        known = self._names.get(prefix) or []
        if known:
            body["metadata"]["name"] = known[0]

    def taken(self, name: str) -> None:
        """A name is used: the next pod gets the next one."""
        for known in self._names.values():
            if name in known:
                known.remove(name)

    def _asked(self, request: Request, verb: str) -> Content:
        try:
            answer: Content = copy.deepcopy(dict(getattr(self.api, verb)(request)))
        except ApiFailure as failure:
            raise Refused(failure.message, is_missing=failure.code == 404) from failure
        if request.kind.plural == "pods" and verb == "create":
            self.taken(answer["metadata"]["name"])
        return answer

    def _key(self, plural: str, name: str) -> tuple[str, str, str, str]:
        group, _ = _GROUPS.get(plural, ("", "v1"))
        return (group, plural, "" if plural in _CLUSTERED else self.namespace, name)

    def _request(
        self,
        plural: str,
        name: str,
        body: Any,
        manager: str = OPERATOR,
        *,
        media: str = "application/json",
        subresource: str = "",
    ) -> Request:
        group, version = _GROUPS.get(plural, ("", "v1"))
        kind = self.api.kinds.find(group, version, plural)
        if kind is None:
            raise ApiFailure(404, "NotFound", f"{plural} are not emulated")
        namespace = "" if plural in _CLUSTERED else self.namespace
        target = Target(group, version, plural, namespace, name, subresource)
        return Request(target, kind, {"fieldManager": manager}, copy.deepcopy(body), media)


def _with_query(request: Request, **query: str) -> Request:
    return Request(
        request.target,
        request.kind,
        {**request.query, **query},
        request.body,
        request.media_type,
        request.client,
    )


def is_of_cluster(content: Mapping[str, Any]) -> bool:
    """Whether the operator made it for a RayCluster."""
    owners = content["metadata"].get("ownerReferences") or []
    return any(owner.get("kind") == "RayCluster" for owner in owners)


def begin_of(content: Mapping[str, Any]) -> datetime:
    """When a recording began, by the first time that an object of it carries."""
    for event in content["events"]:
        made = event["object"]["metadata"].get("creationTimestamp")
        if made:
            first = datetime.fromisoformat(made.replace("Z", "+00:00"))
            return first - timedelta(seconds=int(event["at"]))
    return datetime.now(UTC)


__all__ = ["HELD", "OPERATOR", "World", "begin_of", "is_of_cluster", "names", "plural_of"]
