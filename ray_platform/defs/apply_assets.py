"""Stages `approval` and `apply`: one apply of the approved saved plan makes five assets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from ray_platform.change.apply import AppliedPlan, apply_plan
from ray_platform.change.tags_present import untagged
from ray_platform.config.partitions import PLAN_TAG, environments
from ray_platform.defs.facts import ModuleFacts
from ray_platform.defs.resources import EnvironmentSessions
from ray_platform.lineage.version_page import page_of
from ray_platform.pull_requests.requests_now import PullRequestNow
from ray_platform.records.infra_version import MODULES
from ray_platform.session.lock import change_lock
from ray_platform.text.canonical import short

_DESCRIPTIONS: Mapping[str, str] = {
    "vpc": "The network: three zones, private and public subnets, NAT, endpoints, flow logs.",
    "eks_cluster": "The EKS control plane: private endpoint, encrypted secrets, OIDC and IRSA roles.",
    "node_pools": "The node groups: system, CPU and GPU pools, their launch templates and bounds.",
    "storage": "The artifact bucket, the container registry, the EBS driver and the log groups.",
    "platform": "What the platform needs: Dagster's database, Redis for Ray; empty where neither is wanted.",
}

#: The Terraform outputs that belong to a module's asset.
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "vpc": ("vpc_id", "private_subnet_ids", "public_subnet_ids"),
    "eks_cluster": ("cluster_name", "cluster_endpoint", "cluster_version", "oidc_provider_arn"),
    "node_pools": ("node_pools",),
    "storage": ("artifact_bucket", "registry_url"),
    "platform": ("database", "redis"),
}


@dg.multi_asset(
    name="apply_plan",
    pool="terraform",
    specs=[
        dg.AssetSpec(
            module,
            deps=["terraform_plan"],
            partitions_def=environments,
            group_name="infrastructure",
            kinds={"terraform", "aws"},
            owners=["team:platform"],
            code_version="1",
            description=_DESCRIPTIONS[module],
        )
        for module in MODULES
    ],
)
def infrastructure(
    context: dg.AssetExecutionContext, sessions: EnvironmentSessions
) -> Iterator[dg.MaterializeResult[Any]]:
    with (
        sessions.open(context) as session,
        change_lock(session, f"apply, run {context.run_id}", tell=context.log.info),
    ):
        context.log.info(f"Applying the saved plan in {session.name}")
        done = apply_plan(
            session,
            context.run.tags.get(PLAN_TAG),
            progress=context.log.info,
            request=PullRequestNow(),
        )
        context.log.info(f"Infra version {short(done.infra_version)}")
        page = dg.MetadataValue.md(page_of(session, done.infra_version, context.instance))
        for module in MODULES:
            yield dg.MaterializeResult(
                asset_key=module,
                data_version=dg.DataVersion(done.applied.modules[module]),
                metadata={**_metadata(done, module), "infra version page": page},
            )


def _metadata(done: AppliedPlan, module: str) -> dict[str, Any]:
    resources = done.resources.get(module, {})
    rows = "\n".join(f"| `{address}` |" for address in sorted(resources))
    outputs = {
        name: dg.MetadataValue.json(value) if isinstance(value, (dict, list)) else str(value)
        for name in _OUTPUTS[module]
        if (value := done.outputs.get(name)) is not None
    }
    facts = ModuleFacts(
        resources=len(resources),
        infra_version=done.infra_version,
        plan_digest=done.record.plan_digest,
        commit=done.applied.commit,
        state_serial=done.applied.state_serial,
        approved_by=done.approved_by,
    )
    return {
        **facts.to_metadata(),
        # For people alone.
        "addresses": dg.MetadataValue.md(f"| resource |\n|---|\n{rows}"),
        **outputs,
    }


@dg.multi_asset_check(
    name="check_tags",
    specs=[
        dg.AssetCheckSpec(
            "tags_present",
            asset=module,
            partitions_def=environments,
            description="Every resource that can bear tags bears repo, environment, managed-by and commit.",
        )
        for module in MODULES
    ],
)
def tags_present(
    context: dg.AssetCheckExecutionContext, sessions: EnvironmentSessions
) -> Iterator[dg.AssetCheckResult]:
    with sessions.open(context) as session:
        for module, missing in untagged(session).items():
            yield dg.AssetCheckResult(
                asset_key=module,
                check_name="tags_present",
                passed=not missing,
                severity=dg.AssetCheckSeverity.WARN,
                description=_untagged_text(missing),
                metadata={
                    "missing": dg.MetadataValue.json({k: list(v) for k, v in missing.items()})
                },
            )


def _untagged_text(missing: Mapping[str, Sequence[str]]) -> str:
    """Which resources lack which tags, in one line; the first three of many."""
    if not missing:
        return "every resource that can bear tags has them"
    said = [f"{address} lacks {', '.join(tags)}" for address, tags in sorted(missing.items())[:3]]
    more = len(missing) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")
