"""One recording, replayed through the stand-in's rules."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_platform_sandbox.kuberay.cluster_status import is_running_and_ready
from ray_platform_sandbox.kuberay.reconciling import Reconciler
from ray_platform_sandbox.kuberay.recordings import compare
from ray_platform_sandbox.kuberay.recordings.world import (
    World,
    begin_of,
    is_of_cluster,
)

#: How long the real operator may take where the stand-in needs no time, and the other way round.
LAG_SECONDS = 3.0


#: The shortest pause in which both are compared as they stand.
QUIET_SECONDS = 1.0


ROUNDS = 30


GAP = re.compile(r"between ([0-9.]+) s and ([0-9.]+) s")


#: Kinds whose controllers the stand-in does not have, or has only for processes of this machine.
NOT_REPLAYED = ("RayJob", "RayService", "RayCronJob")


_BACK_OFF, _LONGEST = 0.005, 1000.0


class Unreadable(Exception):
    """A file is no recording."""


@dataclass(frozen=True)
class Difference:
    """One difference; ``at`` in seconds, ``reviewed`` the reason that the list gives, empty: none."""

    recording: str
    at: float
    what: str
    recorded: Any
    replayed: Any
    reviewed: str = ""


class Replay:
    """One recording."""

    def __init__(self, name: str, content: Mapping[str, Any], folder: Path) -> None:
        self.name = name
        self._content = content
        start = begin_of(content)
        self._world = World(folder, str(content["namespace"]), start)
        gates = frozenset(compare.gates_of(content))
        self._operator = Reconciler(self._world, gates)
        self._recorded = compare.Recorded()
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._is_up = True
        self._deletions: dict[str, float] = {}
        self._by_clients: set[str] = set()
        gap = GAP.search(str(content.get("left_out", "")))
        #: From when to when a recording leaves out rounds of a loop.
        self._gap = (float(gap[1]), float(gap[2])) if gap else None
        self._is_past_gap = False
        self._applied: Mapping[str, Any] = {}
        self._seen: dict[str, Any] = {}
        self._scalings: list[tuple[float, Mapping[str, Any], int | None]] = []
        self._found: list[Difference] = []

    def run(self) -> list[Difference]:
        """All differences, in the order of time."""
        for event in self._content["events"]:
            found = event["object"]
            if event["type"] == "ADDED" and found["kind"] == "Pod" and not event.get("listed"):
                self._world.names_for(
                    found["metadata"].get("generateName", ""), found["metadata"]["name"]
                )
        for event in self._content["events"]:
            if event.get("listed"):
                self._recorded.see(event)
                self._world.import_as_is(event["object"])
        self._seen = {name: self._trigger(name) for name in self._clusters()}
        steps = [(step["at"], 0, step) for step in self._content["steps"]]
        events = [(event["at"], 1, event) for event in self._content["events"]]
        last = 0.0
        end = max((event["at"] for event in self._content["events"]), default=0.0) + LAG_SECONDS
        for at, is_event, what in sorted([*steps, *events], key=lambda one: one[:2]):
            if not is_event and what.get("by") == "recorder" and what["do"] == "patch":
                end = at  # the recorder tidies up: what is recorded is over
                break
            self._run_due(at)
            self._world.move_to(at)
            if self._gap and at >= self._gap[1] and not self._is_past_gap:
                self._pass_gap(events)
            if is_event:
                self._event(what)
            else:
                if at - last >= QUIET_SECONDS:
                    self._compare(at)
                last = at
                self._step(what)
            self._operate()
        self._run_due(end)
        self._world.move_to(end)
        self._compare(end)
        # Of recordings without the pods' statuses what the operator made of them cannot be replayed.
        if "Pod statuses" not in str(self._content.get("left_out", "")):
            self._note(end, compare.statuses(self._recorded, self._world, self._gap))
        self._note(end, compare.told(self._recorded, self._world, self._gap))
        self._note(end, compare.pods_made(self._recorded, self._world))
        return once(self._found)

    def _pass_gap(self, events: Sequence[tuple[float, int, Mapping[str, Any]]]) -> None:
        """After rounds that were left out: the pods that the recording goes on with, and no others."""
        self._is_past_gap = True
        first: dict[str, Mapping[str, Any]] = {}
        for at, _, event in events:
            found = event["object"]
            if at >= self._world.at and found["kind"] == "Pod" and is_of_cluster(found):
                first.setdefault(found["metadata"]["name"], event)
        known = {
            name
            for name, event in first.items()
            if event["type"] != "ADDED" and event["object"]["metadata"].get("name")
        }
        lasting = {n for n, p in self._recorded.of("Pod").items() if is_well(p)}
        for name in self._recorded.of("Pod"):
            if name not in known | lasting:
                self._recorded.forget("Pod", name)
        for pod in self._world.list("pods", {}):
            name = pod["metadata"]["name"]
            if is_of_cluster(pod) and name not in known | lasting:
                self._world.end("pods", name)
        for name in known:
            if self._world.get("pods", name) is None:
                self._world.adopt(first[name]["object"])

    def _step(self, step: Mapping[str, Any]) -> None:
        do, content = step["do"], step.get("object") or {}
        kind = str(
            step.get("kind") or (content.get("kind") if isinstance(content, Mapping) else "")
        )
        if do in ("fault", "heal") and step.get("by") == "operator":
            self._is_up = do == "heal"
            if self._is_up:
                self._wake_all()
            return
        if do == "scale":
            self._scalings += [
                (step["at"], request, request.get("code")) for request in step.get("requests") or []
            ]
            return
        if do not in ("create", "apply", "patch", "delete"):
            return
        if kind in NOT_REPLAYED or "field" in step:
            if "field" not in step:
                self._not_replayed(step["at"], kind)
                return
            step = self._of_field(step)
            content, kind = step["object"], "RayCluster"
        if kind in ("Node", "StorageClass", "PersistentVolume") or (
            step.get("object") is None and do != "delete"
        ):
            return
        if do == "delete" and kind == "Pod":
            self._by_clients.add(str(step["name"]))
        code, generation = self._world.step(step)
        answer = step.get("answer") or {}
        name = step.get("name") or (step.get("object") or {}).get("metadata", {}).get("name")
        if code != answer.get("code"):
            self._differs(step["at"], f"answer to {do} of {kind} {name}", answer.get("code"), code)
        elif kind == "RayCluster" and generation != answer.get("generation") and do != "delete":
            what = f"generation after {do} of {kind} {name}"
            self._differs(step["at"], what, answer.get("generation"), generation)
        if do == "apply" and kind == "RayCluster":
            self._applied = step["object"]
        if do == "delete" and kind == "Pod" and content.get("gracePeriodSeconds") == 0:
            self._world.end("pods", str(step["name"]))

    def _of_field(self, step: Mapping[str, Any]) -> Mapping[str, Any]:
        """The step of a scenario that changes one field, with the object that it applied."""
        import jsonpatch

        if step.get("object"):
            return step
        patch = step["json_patch_to_the_object_applied_before"]
        return {**step, "object": jsonpatch.apply_patch(self._applied, patch)}

    def _event(self, event: Mapping[str, Any]) -> None:
        if event.get("listed"):
            return
        found, kind = event["object"], event["object"]["kind"]
        name = found["metadata"]["name"]
        gone = event["type"] == "DELETED"
        self._recorded.see(event)
        if kind in NOT_REPLAYED:
            self._not_replayed(event["at"], kind)
        elif kind == "Pod":
            self._pod(event["at"], found, gone=gone)
        elif kind == "Job" and is_of_cluster(found):
            self._world.set_status(found)
            if gone:
                self._world.end("jobs", name)
        elif kind == "ServiceAccount" and not is_of_cluster(found) and not gone:
            if self._world.get("serviceaccounts", name) is None:
                self._world.set_up(found)
        elif kind == "RayCluster":
            owners = found["metadata"].get("ownerReferences") or []
            if any(owner["kind"] in NOT_REPLAYED for owner in owners):
                self._made_by_another(found, gone=gone)
            self._scaled(event["at"], found)

    def _pod(self, at: float, found: Mapping[str, Any], *, gone: bool) -> None:
        name = found["metadata"]["name"]
        owners = found["metadata"].get("ownerReferences") or []
        if not any(owner["kind"] in ("RayCluster", "Job") for owner in owners):
            return
        if not gone:
            by_job = any(owner["kind"] == "Job" for owner in owners)
            if by_job and self._world.get("pods", name) is None:
                self._world.set_up(found)
            self._world.set_status(found)
        mine = self._world.get("pods", name)
        going = "deletionTimestamp" in found["metadata"]
        if mine is None:
            return
        if going and "deletionTimestamp" not in mine["metadata"]:
            others = (found.get("status") or {}).get("conditions") or []
            by_another = any(c["type"] == "DisruptionTarget" for c in others)
            if by_another or name in self._by_clients:
                self._world.mark_deleted("pods", name)
            else:
                self._deletions.setdefault(name, at)
        if gone:
            self._settle_deletion(name, at)
            self._world.end("pods", name)

    def _settle_deletion(self, name: str, at: float) -> None:
        """A deletion that the real operator, or another controller, has asked for and the stand-in not."""
        since = self._deletions.pop(name, None)
        mine = self._world.get("pods", name)
        if mine is None or "deletionTimestamp" in mine["metadata"]:
            return
        owner = (mine["metadata"].get("ownerReferences") or [{}])[0].get("name", "")
        cluster = self._world.get("rayclusters", owner)
        if cluster is not None and "deletionTimestamp" not in cluster["metadata"]:
            self._differs(since or at, f"Pod {name} is deleted", "yes", "no")
        self._world.mark_deleted("pods", name)

    def _made_by_another(self, found: Mapping[str, Any], *, gone: bool) -> None:
        """A RayCluster of a RayJob or a RayService: its spec is theirs."""
        name = found["metadata"]["name"]
        if gone:
            self._world.end("rayclusters", name)
            return
        self._world.set_up(found)
        if "deletionTimestamp" in found["metadata"]:
            self._world.mark_deleted("rayclusters", name)

    def _scaled(self, at: float, found: Mapping[str, Any]) -> None:
        """Ray's autoscaler has written: the recorded request is made now."""
        cluster = self._world.get("rayclusters", found["metadata"]["name"])
        while self._scalings and cluster is not None:
            if found["metadata"].get("generation", 1) <= cluster["metadata"]["generation"]:
                return
            _, request, recorded = self._scalings.pop(0)
            code = self._world.scale(found["metadata"]["name"], request["body"])
            if code != recorded:
                self._differs(at, "answer to the autoscaler's patch", recorded, code)
            cluster = self._world.get("rayclusters", found["metadata"]["name"])

    def _clusters(self) -> list[str]:
        return [c["metadata"]["name"] for c in self._world.list("rayclusters", {})]

    def _wake_all(self) -> None:
        self._due |= dict.fromkeys(self._clusters(), self._world.at)

    def _operate(self) -> None:
        """Let the operator look at what has changed, until it has nothing to do at once."""
        seen = self._seen
        for _ in range(ROUNDS):
            if not self._is_up:
                return
            now = {name: self._trigger(name) for name in self._clusters()}
            changed = [name for name, of in now.items() if seen.get(name) != of]
            self._seen = seen = now
            if not changed:
                return
            for name in changed:
                self._look(name)
        self._differs(self._world.at, "the stand-in comes to rest", "yes", "no")

    def _trigger(self, name: str) -> Any:
        """What wakes the operator: the object but for its status, and what it owns."""
        cluster = self._world.get("rayclusters", name) or {"metadata": {}, "spec": {}}
        metadata = cluster["metadata"]
        own = [
            item["metadata"]["resourceVersion"]
            for plural in ("pods", "services", "jobs")
            for item in self._world.list(plural, {"ray.io/cluster": name})
        ]
        watched = ("pods", "services", "jobs")
        gone = sum(e.type == "DELETED" and e.key[1] in watched for _, e in self._world.changes)
        return (
            metadata.get("uid"),
            metadata.get("generation"),
            metadata.get("labels"),
            metadata.get("annotations"),
            metadata.get("deletionTimestamp"),
            own,
            gone,
        )

    def _look(self, name: str) -> None:
        outcome = self._operator.reconcile(name, self._world.now)
        self._due.pop(name, None)
        if outcome.failed:
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            again: float | None = min(_BACK_OFF * 2 ** (failures - 1), _LONGEST)
        else:
            self._failures.pop(name, None)
            again = outcome.again
        if again is not None:
            self._due[name] = self._world.at + again

    def _run_due(self, until: float) -> None:
        for _ in range(ROUNDS * 10):
            if not self._is_up:
                return
            due = [(at, name) for name, at in self._due.items() if at <= until]
            late = [
                (at + LAG_SECONDS, n)
                for n, at in self._deletions.items()
                if at + LAG_SECONDS <= until
            ]
            if not due and not late:
                return
            if late and (not due or min(late) < min(due)):
                at, pod = min(late)
                self._world.move_to(at)
                self._settle_deletion(pod, at - LAG_SECONDS)
            else:
                at, name = min(due)
                self._world.move_to(max(at, self._world.at))
                self._look(name)
            self._operate()

    def _compare(self, at: float) -> None:
        self._note(at, compare.standing(self._recorded, self._world))

    def _note(self, at: float, found: Iterator[tuple[str, Any, Any]]) -> None:
        for what, recorded, replayed in found:
            self._differs(at, what, recorded, replayed)

    def _not_replayed(self, at: float, kind: str) -> None:
        what = f"{kind} is replayed"
        if not any(found.what == what for found in self._found):
            self._differs(at, what, "yes", "no")

    def _differs(self, at: float, what: str, recorded: Any, replayed: Any) -> None:
        self._found.append(Difference(self.name, round(at, 2), what, recorded, replayed))


def is_well(pod: Mapping[str, Any]) -> bool:
    """Whether a pod runs and stays: no round of a loop has ended it."""
    return is_running_and_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def once(found: Sequence[Difference]) -> list[Difference]:
    """Each difference at its first time: one that lasts is one."""
    first: dict[str, Difference] = {}
    for one in found:
        key = json.dumps([one.what, one.recorded, one.replayed], sort_keys=True, default=str)
        first.setdefault(key, one)
    return sorted(first.values(), key=lambda one: one.at)
