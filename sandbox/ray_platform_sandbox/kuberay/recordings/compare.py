"""What of a recording and of its replay is compared: whatever a client of the API can see of the operator."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ray_platform_sandbox.kuberay import labels as names
from ray_platform_sandbox.kuberay.recordings.world import HELD, World, is_of_cluster
from ray_platform_sandbox.kubernetes.amounts import amount

Content = Mapping[str, Any]
Found = Iterator[tuple[str, Any, Any]]
CONTROLLER = "raycluster-controller"
#: Words are KubeRay's own, or change with each try.
_WORDS_DIFFER = ("Invalid", "FailedTo", "AutoscalerServiceAccountNotFound", "ForceDeleted")
_AMOUNTS = ("desiredCPU", "desiredMemory", "desiredGPU", "desiredTPU")
_POD_NAME = re.compile(r'pods \\?"[^"\\]+\\?" is forbidden')
_ACCESS = "kube-api-access"
_DEFAULT_GATES = ("RayClusterStatusConditions", "RayJobDeletionPolicy", "RayMultiHostIndexing")


def gates_of(content: Content) -> tuple[str, ...]:
    """The operator's feature gates that were on: the usual ones, and those that the recording names."""
    text = json.dumps([content.get("what"), content.get("versions")])
    known = ("RayClusterNetworkPolicy", "RayClusterHistoryServer", "RayCronJob", "RayClusterMTLS")
    return (*_DEFAULT_GATES, *(gate for gate in known if gate in text))


class Recorded:
    """What stood in the recording, and what was seen until now."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Content] = {}
        self.statuses: dict[str, list[tuple[float, Content]]] = {}
        self.told: list[tuple[float, Content]] = []
        self.made: dict[str, Content] = {}

    def see(self, event: Content) -> None:
        found = event["object"]
        kind, name = found["kind"], found["metadata"]["name"]
        if kind == "Event":
            is_new = found["apiVersion"].startswith("events") and event["type"] == "ADDED"
            if is_new and found.get("reportingController") == CONTROLLER:
                self.told.append((event["at"], found))
            return
        if event["type"] == "DELETED":
            self.objects.pop((kind, name), None)
            return
        self.objects[kind, name] = found
        if kind == "RayCluster" and found.get("status"):
            self.statuses.setdefault(name, []).append((event["at"], found["status"]))
        if kind == "Pod" and is_of_cluster(found) and event["type"] == "ADDED":
            self.made.setdefault(name, found)

    def forget(self, kind: str, name: str) -> None:
        """An object whose end the recording leaves out."""
        self.objects.pop((kind, name), None)

    def of(self, kind: str) -> dict[str, Content]:
        return {name: found for (k, name), found in self.objects.items() if k == kind}


def standing(recorded: Recorded, world: World) -> Found:
    """What stands at a quiet moment."""
    theirs, mine = recorded.of("RayCluster"), _by_name(world, "rayclusters")
    yield from _names("RayCluster", theirs, mine)
    for name in sorted(set(theirs) & set(mine)):
        yield from _fields(f"RayCluster {name}", _cluster(theirs[name]), _cluster(mine[name]))
    for kind, plural in (
        ("Pod", "pods"),
        ("Service", "services"),
        ("Role", "roles"),
        ("RoleBinding", "rolebindings"),
        ("Job", "jobs"),
    ):
        of_theirs = {n: o for n, o in recorded.of(kind).items() if is_of_cluster(o)}
        of_mine = {n: o for n, o in _by_name(world, plural).items() if is_of_cluster(o)}
        yield from _names(kind, of_theirs, of_mine)
        for name in sorted(set(of_theirs) & set(of_mine)):
            if kind == "Pod":
                going = [
                    "deletionTimestamp" in o["metadata"] for o in (of_theirs[name], of_mine[name])
                ]
                if going[0] != going[1]:
                    yield f"Pod {name} is being deleted", going[0], going[1]
            elif kind != "Job":
                yield from _fields(f"{kind} {name}", _owned(of_theirs[name]), _owned(of_mine[name]))


def statuses(recorded: Recorded, world: World, gap: tuple[float, float] | None) -> Found:
    """Each recorded status of a RayCluster was one of the stand-in's, in the same order."""
    mine: dict[str, list[Content]] = {}
    for _, event in world.changes:
        if event.key[1] == "rayclusters" and event.content.get("status"):
            mine.setdefault(event.key[3], []).append(_status(event.content["status"]))
    for name, seen in recorded.statuses.items():
        rest = mine.get(name, [])
        place = 0
        last: Content = {}
        for at, status in seen:
            wanted = _status(status)
            if wanted == last or (gap and gap[0] <= at <= gap[1] + 2):
                continue
            last = wanted
            found = next((i for i in range(place, len(rest)) if rest[i] == wanted), None)
            if found is None:
                nearest = min(
                    rest[place:] or rest or [{}], key=lambda one: len(_different(wanted, one))
                )
                differs = _different(wanted, nearest)
                yield (
                    f"RayCluster {name} has the status of {at:.2f} s: {', '.join(sorted(differs))}",
                    {key: wanted.get(key) for key in differs},
                    {key: nearest.get(key) for key in differs},
                )
            else:
                place = found


def told(recorded: Recorded, world: World, gap: tuple[float, float] | None) -> Found:
    """The operator's events: what about, type, reason, action and note, each once.

    The real operator joins events that differ in their note alone into one series with the first one's note.
    """
    theirs = {_event(found): at for at, found in reversed(recorded.told)}
    mine = {_event(found): at for at, found in reversed(world.told)}
    series = {event[:4] for event in theirs}
    if gap:
        theirs = {event: at for event, at in theirs.items() if not gap[0] <= at <= gap[1] + 2}
    for event in sorted(set(theirs) - set(mine)):
        yield f"event {event[2]} {event[1]} is told", list(event), None
    for event in sorted(event for event in mine if event[:4] not in series):
        yield f"event {event[2]} {event[1]} is not told", None, list(event)
    common = sorted(set(theirs) & set(mine), key=lambda event: theirs[event])
    for first, second in itertools.pairwise(common):
        if theirs[second] - theirs[first] > 0.5 and mine[second] + 1e-6 < mine[first]:
            yield f"event {first[2]} comes before {second[2]}", "yes", "no"


def pods_made(recorded: Recorded, world: World) -> Found:
    """How each pod was made."""
    mine = {
        event.key[3]: event.content
        for _, event in reversed(world.changes)
        if event.key[1] == "pods" and event.type == "ADDED"
    }
    for name, found in recorded.made.items():
        if name in mine:
            yield from _fields("Pod as made: " + _kind_of(found), _pod(found), _pod(mine[name]))


def _kind_of(pod: Content) -> str:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(names.NODE_TYPE, ""))


def _by_name(world: World, plural: str) -> dict[str, Content]:
    return {found["metadata"]["name"]: found for found in world.list(plural, {})}


def _names(kind: str, theirs: Iterable[str], mine: Iterable[str]) -> Found:
    for name in sorted(set(theirs) - set(mine)):
        yield f"{kind} {name} exists", "yes", "no"
    for name in sorted(set(mine) - set(theirs)):
        yield f"{kind} {name} exists", "no", "yes"


def _cluster(found: Content) -> dict[str, Any]:
    metadata = found["metadata"]
    managers = {
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in metadata.get("managedFields") or []
        if entry["manager"] not in ("other", "kubelet")
    }
    return {
        "generation": metadata.get("generation"),
        "finalizers": metadata.get("finalizers") or [],
        "is being deleted": "deletionTimestamp" in metadata,
        "field managers": sorted(managers),
        **{f"status.{key}": value for key, value in _status(found.get("status") or {}).items()},
        **{
            f"status.{key}": str(amount((found.get("status") or {}).get(key, 0)))
            for key in _AMOUNTS
        },
        "spec": _without_empty(found["spec"]),
    }


def _status(status: Content) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in status.items()
        if key not in ("lastUpdateTime", "stateTransitionTimes", "conditions", *_AMOUNTS)
    }
    kept["stateTransitionTimes"] = sorted(status.get("stateTransitionTimes") or {})
    for condition in status.get("conditions") or []:
        message = _POD_NAME.sub("pods is forbidden", str(condition.get("message", "")))
        kept[f"conditions[{condition['type']}]"] = [
            condition["status"],
            condition.get("reason", ""),
            message,
        ]
    return kept


def _owned(found: Content) -> dict[str, Any]:
    metadata, spec = found["metadata"], found.get("spec") or {}
    kept: dict[str, Any] = {"labels": metadata.get("labels") or {}}
    annotations = metadata.get("annotations") or {}
    kept["annotations"] = annotations
    if found["kind"] == "Service":
        kept |= {
            "selector": spec.get("selector"),
            "type": spec.get("type"),
            "is headless": spec.get("clusterIP") == "None",
            "publishNotReadyAddresses": bool(spec.get("publishNotReadyAddresses")),
            "ports": [
                [port.get("name"), port["port"], port.get("targetPort", port["port"])]
                for port in spec.get("ports") or []
            ],
        }
    for field in ("rules", "subjects", "roleRef"):
        if field in found:
            kept[field] = found[field]
    return kept


def _pod(found: Content) -> dict[str, Any]:
    """A pod as it was made, without what the API server and its admission fill in."""
    metadata, spec = found["metadata"], found["spec"]
    annotations = dict(metadata.get("annotations") or {})
    if names.HASH in annotations:
        annotations[names.HASH] = "(a hash)"
    if names.STORAGE_NAMESPACE in annotations and "-" in annotations[names.STORAGE_NAMESPACE]:
        annotations[names.STORAGE_NAMESPACE] = "(an id)"
    labels = dict(metadata.get("labels") or {})
    if names.REPLICA_NAME in labels:
        labels[names.REPLICA_NAME] = "(a name)"
    kept: dict[str, Any] = {
        "labels": labels,
        "annotations": annotations,
        "finalizers": [f for f in metadata.get("finalizers") or [] if f != HELD],
        "restartPolicy": spec.get("restartPolicy") or "Always",
        "serviceAccountName": spec.get("serviceAccountName") or "default",
        "volumes": [v["name"] for v in spec.get("volumes") or [] if _ACCESS not in v["name"]],
    }
    for field in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(field) or []):
            for key, value in _container(container).items():
                kept[f"{field}[{place}].{key}"] = value
    return kept


def _container(container: Content) -> dict[str, Any]:
    resources = container.get("resources") or {}
    return {
        "name": container["name"],
        "image": container.get("image"),
        "command": container.get("command"),
        "args": container.get("args"),
        "env": [
            [v["name"], _masked(v["name"], v.get("value") or ""), sorted(v.get("valueFrom") or {})]
            for v in container.get("env") or []
        ],
        "ports": [[p.get("name"), p["containerPort"]] for p in container.get("ports") or []],
        "volumeMounts": [
            [m["name"], m["mountPath"]]
            for m in container.get("volumeMounts") or []
            if _ACCESS not in m["name"]
        ],
        "resources": {
            part: {k: str(amount(v)) for k, v in sorted((resources.get(part) or {}).items())}
            for part in ("limits", "requests")
        },
        "probes": {
            probe: (container[probe].get("httpGet") or {}).get("path")
            for probe in ("livenessProbe", "readinessProbe", "startupProbe")
            if probe in container
        },
    }


def _masked(name: str, value: str) -> str:
    return "(an id)" if name == "RAY_external_storage_namespace" and "-" in value else value


def _event(found: Content) -> tuple[str, str, str, str, str]:
    about = found["regarding"]
    reason = found["reason"]
    note = str(found.get("note") or "")
    if reason.startswith(_WORDS_DIFFER):
        note = ""
    at = f"{about['kind']}/{about['name']}"
    return (at, found["type"], reason, str(found.get("action") or ""), note)


def _fields(of: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> Found:
    for key in sorted(_different(theirs, mine)):
        yield f"{of}: {key}", theirs.get(key), mine.get(key)


def _different(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> set[str]:
    return {key for key in {*theirs, *mine} if _plain(theirs.get(key)) != _plain(mine.get(key))}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [], "", None)}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
