"""An environment's manifests in a folder for Git, from which Argo CD applies them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray_platform.config.settings import Environment
from ray_platform.gitops.export_files import Delivery, export_files, files_digest, foreign_files
from ray_platform.gitops.export_folder import held, read_folder, replace_folder
from ray_platform.gitops.platform_charts import (
    Cluster,
    PinnedChart,
    needed,
    read_charts,
    values_for,
)
from ray_platform.kubernetes.helm_chart_process import RenderedChart, chart_digest, render_chart
from ray_platform.policy.verdict import both
from ray_platform.ray.chart import judge, recorded_outputs, render
from ray_platform.ray.spec import ray_namespace
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import digest
from ray_platform.text.errors import PolicyDenied, Refused, SettingsError

#: Foreign files that a refusal names.
SHOWN = 5


@dataclass(frozen=True)
class Exported:
    """What an export wrote. Paths are relative to ``folder``; ``digest`` is over all its files."""

    environment: str
    folder: str
    digest: str
    files: int
    written: tuple[str, ...]
    removed: tuple[str, ...]
    application: str
    sync: str

    @property
    def unchanged(self) -> bool:
        return not (self.written or self.removed)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "unchanged": self.unchanged}


def export(session: EnvironmentSession, to: Path, *, before_apply: bool = False) -> Exported:
    """Write the environment's manifests into a folder; one that holds the same already is left alone.

    Args:
        session: The environment.
        to: The folder: new, empty, or an earlier export of the same environment.
        before_apply: Export although Terraform made nothing yet: without the pods' role and Redis.

    Raises:
        PolicyDenied: a rule denies the manifests.
        Refused: the folder holds something else, or nothing was applied yet.
        SettingsError: values, repository or folder are wrong.
    """
    folder = to.resolve()
    with held(folder):
        found = read_folder(folder)
        refuse_foreign(found, session.name, str(folder))
        outputs = {} if before_apply else applied_outputs(session)
        files = export_of(session, outputs, *render(session, outputs))
        written = tuple(path for path, text in files.items() if found.get(path) != text.encode())
        removed = tuple(sorted(set(found) - set(files)))
        if written or removed:
            replace_folder(folder, files)
    return Exported(
        environment=session.name,
        folder=str(folder),
        digest=files_digest(files),
        files=len(files),
        written=written,
        removed=removed,
        application=delivery_of(session).application,
        sync=session.environment.gitops.sync,
    )


def refuse_foreign(found: Mapping[str, bytes], environment: str, where: str) -> None:
    """Refuse to write over anything but an untouched export of the environment.

    Args:
        found: Path -> content of everything in the folder.
        environment: Whose export may be replaced.
        where: The folder, for the message.

    Raises:
        Refused: it holds something else.
    """
    if foreign := foreign_files(found, environment):
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        raise Refused(
            f"the folder holds what is no export of {environment}: "
            f"{', '.join(foreign[:SHOWN])}{more}",
            where=where,
            fix="name a folder that is new or empty, or take these files away",
        )


def applied_outputs(session: EnvironmentSession) -> Mapping[str, Any]:
    """Terraform's outputs of the latest apply, without which an export is not whole.

    Raises:
        Refused: nothing was applied yet.
    """
    outputs = recorded_outputs(session)
    if not outputs:
        raise Refused(
            f"nothing was applied in {session.name} yet, so the role of the pods is not known",
            where=session.name,
            fix=f"`ray-platform apply --env {session.name}` first, or export with --before-apply",
        )
    return outputs


def export_of(
    session: EnvironmentSession,
    outputs: Mapping[str, Any],
    values: Mapping[str, Any],
    ray: RenderedChart,
) -> dict[str, str]:
    """All files of an environment's export, by path.

    Args:
        session: The environment.
        outputs: What Terraform made.
        values: The values of the Ray chart.
        ray: What they make.

    Raises:
        PolicyDenied: a rule denies the manifests.
        SettingsError: values or repository are wrong.
    """
    settings = session.settings
    platform = render_chart(
        settings.platform_chart,
        {"environment": session.name},
        release="platform",
        namespace="kube-system",
    )
    verdict = both(
        judge(session, ray), session.policies.check_manifests(platform.documents, session.name)
    )
    if verdict.denied:
        raise PolicyDenied(
            "policy denies the manifests: "
            + "; ".join(f"[{v.id}] {v.resource}: {v.message}" for v in verdict.violations),
            where=f"helm for {session.name}",
            fix="; ".join(sorted({v.fix for v in verdict.violations})),
        )
    others = [settings.environment(name) for name in settings.environment_names]
    return export_files(
        {"platform": platform.documents, "ray": ray.documents},
        delivery_of(session),
        [_delivery(session, each) for each in others if not each.uses_sandbox],
        charts=platform_charts(session, outputs),
        sources={
            "chart": chart_digest(settings.ray_chart),
            "platform": chart_digest(settings.platform_chart),
            "values": digest(values),
            "policies": verdict.bundle_digest,
        },
    )


def platform_charts(
    session: EnvironmentSession, outputs: Mapping[str, Any]
) -> list[tuple[PinnedChart, dict[str, Any]]]:
    """The third-party charts that an environment needs, each with its values there.

    Raises:
        SettingsError: helm/platform/charts.yaml is missing or wrong.
    """
    path = session.settings.platform_chart / "charts.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"the list of charts cannot be read: {error}", where=str(path), fix="restore it"
        ) from error
    environment = session.environment
    cluster = Cluster(
        name=f"ray-platform-{session.name}",
        region=environment.region,
        kubernetes_version=str(environment.variables.get("kubernetes_version", "")),
        autoscaler_role=str((outputs.get("role_arns") or {}).get("cluster_autoscaler") or ""),
    )
    pools = environment.node_pools
    charts = needed(read_charts(text, where=str(path)), pools)
    return [(chart, values_for(chart, cluster, pools)) for chart in charts]


def delivery_of(session: EnvironmentSession) -> Delivery:
    """How Argo CD finds the environment's export.

    Raises:
        SettingsError: there is no address of a repository.
    """
    return _delivery(session, session.environment)


def _delivery(session: EnvironmentSession, environment: Environment) -> Delivery:
    choice = environment.gitops
    repository = choice.repository or session.git.remote()
    if "://" not in repository and "@" not in repository:
        raise SettingsError(
            "Argo CD needs the address of a Git repository, and the checkout has no remote `origin` that "
            "is one",
            where=f"environments/{environment.name}.toml",
            fix="set gitops.repository, or `git remote add origin ADDRESS`",
        )
    return Delivery(
        environment=environment.name,
        repository=repository,
        revision=choice.revision,
        path=choice.path or f"gitops/{environment.name}",
        cluster=f"ray-platform-{environment.name}",
        namespace=ray_namespace(environment.variables, where=str(environment.variables_file)),
        sync=choice.sync,
    )
