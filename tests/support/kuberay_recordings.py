"""Recordings of the real operator: what stood at a time, rebuilt from what a watch gave."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ray_platform.ray.spec import PODS_DIGEST, pods_digest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "data" / "kuberay-recordings"
#: The whole set, beside a checkout.
SHARED = ROOT.parent / "shared" / "data" / "kuberay-recordings"


@dataclass(frozen=True)
class Moment:
    """What existed at a time: objects by kind, events among them."""

    objects: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [dict(o) for o in self.objects if o["kind"] == kind]

    @property
    def ray_cluster(self) -> dict[str, Any]:
        (found,) = self.of("RayCluster")
        return found

    @property
    def pods(self) -> list[dict[str, Any]]:
        return [p for p in self.of("Pod") if "ray.io/cluster" in p["metadata"].get("labels", {})]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [e for e in self.of("Event") if e["apiVersion"] == "v1"]


@dataclass(frozen=True)
class Recording:
    """One scenario."""

    name: str
    content: Mapping[str, Any]

    def at(self, seconds: float) -> Moment:
        """What existed then."""
        there: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        for event in self.content["events"]:
            if event["at"] > seconds:
                break
            found = event["object"]
            key = (found["apiVersion"], found["kind"], found["metadata"]["name"])
            if event["type"] == "DELETED":
                there.pop(key, None)
            else:
                there[key] = found
        return Moment(tuple(there.values()))

    def moments(self) -> Iterator[tuple[float, Moment]]:
        """Each moment at which something changed."""
        for seconds in sorted({event["at"] for event in self.content["events"]}):
            yield seconds, self.at(seconds)

    @property
    def end(self) -> Moment:
        return self.at(float("inf"))

    def with_digests(self) -> "Recording":
        """As if the chart had put its digest on the templates, and so KubeRay on the pods."""
        content = json.loads(json.dumps(self.content))
        digest = ""
        of_pods: dict[str, str] = {}
        for event in content["events"]:
            found = event["object"]
            if found["kind"] == "RayCluster":
                spec = found["spec"]
                digest = pods_digest(spec)
                groups = spec.get("workerGroupSpecs") or []
                for template in (g["template"] for g in (spec["headGroupSpec"], *groups)):
                    annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
                    annotations[PODS_DIGEST] = digest
            elif found["kind"] == "Pod" and "ray.io/cluster" in found["metadata"]["labels"]:
                mine = of_pods.setdefault(found["metadata"]["uid"], digest)
                found["metadata"].setdefault("annotations", {})[PODS_DIGEST] = mine
        return Recording(self.name, content)


@cache
def recording(name: str) -> Recording:
    return Recording(name, json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes())))
