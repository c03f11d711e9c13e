"""Drift: what the live API says against the state, from one refresh-only plan."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from ray_platform.core.drift import DriftItem, drift_items
from ray_platform.core.plan import read_plan
from ray_platform.stages.apply import require_applied
from ray_platform.stages.site import Site


def find_drift(site: Site, *, progress: Callable[[str], None]) -> tuple[DriftItem, ...]:
    """Each difference between the live infrastructure and the state, the worst first.

    Raises:
        NotFoundError: nothing is applied, so nothing can have drifted.
        StalePlan: an apply was cut short; what differs then is no drift.
        PlatformError: Terraform's.
    """
    terraform = site.terraform(progress)
    terraform.init()
    require_applied(site, terraform)
    with tempfile.TemporaryDirectory(prefix="ray-platform-drift-") as folder:
        made = terraform.plan(Path(folder) / "drift.tfplan", refresh_only=True)
    plan = read_plan(made.json, where=f"the refresh of {site.name}")
    return drift_items(plan, pools=site.environment.node_pools)
