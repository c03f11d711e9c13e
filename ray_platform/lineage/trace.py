"""Lineage: from a run to the infrastructure that it ran on, back, and between two runs."""

from dataclasses import dataclass
from typing import Any

from ray_platform.git.git_client import Git
from ray_platform.records.records_store import Records
from ray_platform.records.version_differences import (
    Commit,
    Difference,
    differences,
    resource_differences,
    text_differences,
)
from ray_platform.run_history.run_history_store import BurstRun
from ray_platform.text.errors import GitError

#: Manifest fields whose digests stand for stored content, or which say when rather than what.
_EXPLAINED = frozenset(
    {"modules", "variables_digest", "ray", "commit", "plan_digest", "state_serial"}
)


def describe(records: Records, run: BurstRun) -> dict[str, Any]:
    """What a run ran on.

    Returns:
        ``run_id``, ``status``, ``environment``, ``infra_version``, ``pull_request`` (empty for none),
        the run's own ``facts``, ``unreadable`` where those cannot be read, and all of
        the manifest: ``commit``, ``plan_digest``, ``state_lineage``, ``state_serial``, ``modules`` by
        asset name, ``ray`` ...
    """
    manifest = records.manifest(run.infra_version)
    return {
        "run_id": run.run_id,
        "status": run.status,
        "infra_version": run.infra_version,
        "pull_request": records.pull_request_of(manifest["plan_digest"]),
        **manifest,
        "facts": dict(run.facts),
        **({"unreadable": run.unreadable} if run.unreadable else {}),
    }


@dataclass(frozen=True)
class CommitRange:
    """The commits between two infra versions, oldest first.

    ``gained`` is what the second has and the first has not, ``lost`` the reverse (after a revert to an
    older commit, or a force push); ``why_not`` says why they are not known, empty when they are.
    """

    before: str
    after: str
    gained: tuple[Commit, ...] = ()
    lost: tuple[Commit, ...] = ()
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "gained": [item.to_json() for item in self.gained],
            "lost": [item.to_json() for item in self.lost],
            "why_not": self.why_not,
        }


def commit_range(records: Records, git: Git, before: str, after: str) -> CommitRange:
    """The commits between two infra versions. A commit that Git no longer has is told, and is no error."""
    old = records.manifest(before)["commit"]
    new = records.manifest(after)["commit"]
    if old == new:
        return CommitRange(old, new)
    try:
        gained, lost = git.commits_apart(old, new)
    except GitError as error:
        return CommitRange(old, new, why_not=f"{error.what} ({error.where})")
    return CommitRange(
        old, new, tuple(Commit(*item) for item in gained), tuple(Commit(*item) for item in lost)
    )


def explain(records: Records, before: str, after: str) -> tuple[Difference, ...]:
    """What differs between two infra versions, from cause to effect: variables, resources, Ray, the rest.

    Commit, plan and state serial always differ between two applies and are left to the caller to show.

    Raises:
        NotFoundError: a version, or what one of its digests stands for, is not in the artifact store.
    """
    if before == after:
        return ()
    old, new = records.manifest(before), records.manifest(after)
    content = records.artifacts.get_content
    found: list[Difference] = []
    if old["variables_digest"] != new["variables_digest"]:
        found += resource_differences(
            {"variables": content("variables", old["variables_digest"])},
            {"variables": content("variables", new["variables_digest"])},
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
    charts = _both(records, "charts", old_ray.get("chart_digest"), new_ray.get("chart_digest"))
    if charts:
        found += text_differences("ray chart", *charts)
    found += [
        item
        for item in differences("ray", old_ray, new_ray)
        if item.attribute not in ("values_digest", "manifest_digest")
    ]
    policies = _both(records, "policies", old["policy_bundle_digest"], new["policy_bundle_digest"])
    if policies:
        found += text_differences("policies", policies[0]["rules"], policies[1]["rules"])
        found += differences("policies", policies[0]["data"], policies[1]["data"])
    prices = _both(records, "prices", old["price_book_version"], new["price_book_version"])
    if prices:
        found += differences("prices (US dollars)", *prices)
    rest = sorted((old.keys() | new.keys()) - _EXPLAINED)
    found += differences("manifest", {k: old.get(k) for k in rest}, {k: new.get(k) for k in rest})
    return tuple(found)


def _both(records: Records, kind: str, before: str | None, after: str | None) -> list[Any]:
    """What two different digests stand for; empty where one was recorded before contents were kept."""
    if before == after or not before or not after:
        return []
    found = [records.artifacts.read(f"{kind}/{digest}.json") for digest in (before, after)]
    return found if None not in found else []
