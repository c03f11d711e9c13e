"""The model card of a burst run: what was trained, how well, and on which infrastructure, as Markdown."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ray_platform.run_history.burst_metrics import BurstMetrics

#: Tags are found by these names in MLflow: ``tags.`ray_platform.infra_version` = '...'``.
TAG = "ray_platform"


def model_card(
    metrics: BurstMetrics, infra: Mapping[str, Any], *, node_seconds: float, usd: Decimal
) -> str:
    """The card.

    Args:
        metrics: What the run measured.
        infra: `ray_platform.lineage.run_report.infra_facet`.
        node_seconds: Of worker nodes, attributed to the run.
        usd: The same in US dollars.
    """
    commit = f"`{infra['commit']}`{' with uncommitted changes' if infra['dirty'] else ''}"
    rows = [
        ("infra version", f"`{infra['infraVersion']}`"),
        ("environment", infra["environment"]),
        ("commit", commit),
        ("Terraform plan", f"`{infra['planDigest']}`"),
        ("Terraform state", f"`{infra['stateLineage']}`, serial {infra['stateSerial']}"),
        *((f"module {name}", f"`{value}`") for name, value in sorted(infra["modules"].items())),
        ("Ray", f"{infra['rayVersion']}, `{infra['rayImage']}`"),
        ("Ray chart, values", f"`{infra['chartDigest']}`, `{infra['valuesDigest']}`"),
        ("policies", f"`{infra['policyBundleDigest']}`"),
        ("worker nodes", f"{node_seconds:.0f} node-seconds, {usd:.4f} US dollars at list price"),
    ]
    phases = [
        f"| {p.name} | {p.workers_wanted} | {p.workers_reached} | {p.samples} | {p.loss:.6f} |"
        for p in metrics.phases
    ]
    return "\n".join(
        [
            f"# Burst training, run {metrics.run_id}",
            "",
            "## Model",
            "",
            "A network of one hidden layer, trained by `workloads/bursty_training.py` on data that its seed "
            "makes: it shows how a cluster follows demand, and is of no other use.",
            "",
            "## Training",
            "",
            f"Seed {metrics.seed}, device {metrics.device}, {metrics.samples} samples in "
            f"{metrics.seconds:.1f} s; mean squared error {metrics.loss:.6f} at the end.",
            "",
            "| phase | workers wanted | reached | samples | loss |",
            "|---|--:|--:|--:|--:|",
            *phases,
            "",
            "## Infrastructure",
            "",
            "| what | value |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            f"All of it: `ray-platform lineage {metrics.run_id}`.",
            "",
        ]
    )


def run_tags(run_id: str, infra: Mapping[str, Any]) -> dict[str, str]:
    """The tags by which a tracking server finds a run: its id, and what it ran on."""
    return {
        f"{TAG}.run_id": run_id,
        f"{TAG}.environment": str(infra["environment"]),
        f"{TAG}.infra_version": str(infra["infraVersion"]),
        f"{TAG}.commit": str(infra["commit"]),
        f"{TAG}.plan_digest": str(infra["planDigest"]),
        # MLflow's own name of the commit, which its UI shows as the source version.
        "mlflow.source.git.commit": str(infra["commit"]),
    }


def run_metrics(metrics: BurstMetrics, *, node_seconds: float, usd: Decimal) -> dict[str, float]:
    """What a tracking server plots: seconds, node-seconds and US dollars, and the loss."""
    return {
        "loss": metrics.loss,
        "seconds": metrics.seconds,
        "samples": float(metrics.samples),
        "peak_workers": float(metrics.peak_workers),
        "retries": float(metrics.retries),
        "node_seconds": node_seconds,
        "usd": float(usd),
    }
