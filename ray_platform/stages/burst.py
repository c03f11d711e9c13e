"""Stage `burst_run`: what a run ran on is settled before it starts, and what it used is kept after it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.core.canonical import short
from ray_platform.core.errors import NotFoundError
from ray_platform.stages.apply import require_applied
from ray_platform.stages.ray_cluster import render
from ray_platform.core.errors import StalePlan
from ray_platform.stages.site import Site


@dataclass(frozen=True)
class Ground:
    """What a run stands on: the infra version and its manifest."""

    infra_version: str
    manifest: Mapping[str, Any]


def settle(site: Site) -> Ground:
    """The infra version that a run is about to run on.

    Raises:
        NotFoundError: nothing is applied, or no Ray cluster is deployed.
        StalePlan: the infrastructure moved on after the last recorded apply, or the Ray cluster after
            the last deployment.
    """
    terraform = site.terraform()
    terraform.init()
    require_applied(site, terraform)
    ray = site.records.ray()
    if ray is None:
        raise NotFoundError(
            f"no Ray cluster is deployed in {site.name}",
            fix=f"ray-platform up --env {site.name}",
        )
    _, rendered = render(site)
    if rendered.digest != ray.manifest_digest:
        raise StalePlan(
            "chart or node pools have changed since the Ray cluster was deployed",
            where=f"{site.name}, manifest {short(ray.manifest_digest)}",
            fix=f"ray-platform up --env {site.name}",
        )
    version = site.records.record_infra_version()
    assert version is not None  # noqa: S101 - require_applied has found what is applied
    return Ground(version, site.records.manifest(version))
