"""Lineage: from a run to the infrastructure that it ran on, back, and between two runs."""

from typing import Any

from ray_platform.clients.records import Records
from ray_platform.clients.run_history import BurstRun
from ray_platform.core.lineage import Difference, differences, resource_differences

#: Manifest fields whose digests stand for stored content, or which say when rather than what.
_EXPLAINED = frozenset(
    {"modules", "variables_digest", "ray", "commit", "plan_digest", "state_serial"}
)


def describe(records: Records, run: BurstRun) -> dict[str, Any]:
    """What a run ran on.

    Returns:
        ``run_id``, ``status``, ``environment``, ``infra_version``, the run's own ``facts``, and all of
        the manifest: ``commit``, ``plan_digest``, ``state_lineage``, ``state_serial``, ``modules`` by
        asset name, ``ray`` ...
    """
    return {
        "run_id": run.run_id,
        "status": run.status,
        "infra_version": run.infra_version,
        **records.manifest(run.infra_version),
        "facts": dict(run.facts),
    }


def explain(records: Records, before: str, after: str) -> tuple[Difference, ...]:
    """What differs between two infra versions, from cause to effect: variables, resources, Ray, the rest.

    Commit, plan and state serial always differ between two applies and are left to the caller to show.

    Raises:
        NotFoundError: a version, or what one of its digests stands for, is not in the artifact store.
    """
    old, new = records.manifest(before), records.manifest(after)
    content = records.artifacts.get_content
    found: list[Difference] = []
    if old["variables_digest"] != new["variables_digest"]:
        found += differences(
            "variables",
            content("variables", old["variables_digest"]),
            content("variables", new["variables_digest"]),
        )
    for module, digest in new["modules"].items():
        if old["modules"].get(module) != digest:
            found += resource_differences(
                content("modules", old["modules"][module]), content("modules", digest)
            )
    old_ray, new_ray = old["ray"] or {}, new["ray"] or {}
    if old_ray.get("values_digest") != new_ray.get("values_digest") and old_ray and new_ray:
        found += differences(
            "ray values",
            content("values", old_ray["values_digest"]),
            content("values", new_ray["values_digest"]),
        )
    found += [
        item
        for item in differences("ray", old_ray, new_ray)
        if item.attribute not in ("values_digest", "manifest_digest")
    ]
    rest = sorted((old.keys() | new.keys()) - _EXPLAINED)
    found += differences("manifest", {k: old.get(k) for k in rest}, {k: new.get(k) for k in rest})
    return tuple(found)
