"""A dataclass field that mirrors another system's answer has no default.

With a default, a client that does not read the field works on, with a value that nobody gave: so merged pull
requests had no time of their merge, and were never applied. Without one it does not even start.
"""

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ray_platform.change.remains import Tagged
from ray_platform.drift.causes import Evidence
from ray_platform.drift.configuration import Configuration
from ray_platform.drift.trail import TrailEvent
from ray_platform.drift.unmanaged import LiveResource
from ray_platform.github.failure import GitHubFailure
from ray_platform.github.installation_client import Installation
from ray_platform.github.manifest_process import NewApp
from ray_platform.github.model import CheckReport, PullRequest, Watermark
from ray_platform.gitops.argocd import Sync
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.field_managers import Writer
from ray_platform.kubernetes.helm_release_client import Release
from ray_platform.kubernetes.manifests import Compared
from ray_platform.pull_requests.run_store import PullRequestRun
from ray_platform.ray.cluster_client import RayNode
from ray_platform.run_history.live_runs import LiveRun
from ray_platform.run_history.run_history_store import BurstRun
from ray_platform.terraform.plan import Counts, ResourceChange
from ray_platform.terraform.state import TerraformState
from ray_platform.terraform.state_lock_store import FoundLock
from ray_platform.terraform.terraform_client import PlanOutput
from ray_platform.terraform.terraform_process import Diagnostic

PRODUCT = Path(__file__).resolve().parents[3] / "ray_platform"

#: One class of each module whose dataclasses mirror answers.
MIRRORS = (
    *(PullRequest, Installation, NewApp, GitHubFailure),  # GitHub
    *(
        ResourceChange,
        TerraformState,
        PlanOutput,
        Diagnostic,
        FoundLock,
        Configuration,
    ),  # Terraform
    *(LiveResource, Tagged, TrailEvent),  # AWS
    *(ClusterAccess, Writer, Compared, Release),  # Kubernetes and Helm
    *(Sync,),  # Argo CD
    *(RayNode,),  # Ray
    *(BurstRun, PullRequestRun, LiveRun),  # Dagster
)

#: What such a module has besides that is our own.
OURS = {
    Watermark: "how far we have read",
    CheckReport: "what we ask for",
    Counts: "what we count",
}


def modules() -> Iterator[ModuleType]:
    """The modules of `MIRRORS`, and each one that is named as a client."""
    yield from (sys.modules[name] for name in sorted({one.__module__ for one in MIRRORS}))
    for path in sorted(PRODUCT.rglob("*_client.py")):
        name = path.relative_to(PRODUCT.parent).with_suffix("").as_posix().replace("/", ".")
        yield importlib.import_module(name)


def mirrors() -> list[type]:
    return [
        one
        for module in modules()
        for one in vars(module).values()
        if isinstance(one, type)
        and dataclasses.is_dataclass(one)
        and one.__module__ == module.__name__
        and one not in OURS
    ]


def with_defaults(one: type) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(one)
        if field.default is not dataclasses.MISSING
        or field.default_factory is not dataclasses.MISSING
    ]


@pytest.mark.parametrize("one", [*mirrors(), Evidence], ids=lambda one: one.__name__)
def test_what_mirrors_an_answer_has_no_default(one: type) -> None:
    assert with_defaults(one) == []


def test_a_default_would_be_seen() -> None:
    @dataclasses.dataclass(frozen=True)
    class Forgetful:
        number: int
        merged_at: str = ""
        labels: list[str] = dataclasses.field(default_factory=list)

    assert with_defaults(Forgetful) == ["merged_at", "labels"]
    assert {"PullRequest", "Review", "Issue", "Comment"} <= {one.__name__ for one in mirrors()}
