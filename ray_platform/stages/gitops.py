"""An environment's manifests in a folder for Git, from which Argo CD applies them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray_platform.clients.export_folder import held, read_folder, replace_folder
from ray_platform.clients.helm import chart_digest
from ray_platform.core.canonical import digest
from ray_platform.core.errors import PolicyDenied, Refused, SettingsError
from ray_platform.core.gitops import Delivery, export_files, files_digest, foreign_files
from ray_platform.core.ray_spec import ray_namespace
from ray_platform.settings import Environment
from ray_platform.stages.ray_cluster import judge, recorded_outputs, render
from ray_platform.stages.site import Site

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


def export(site: Site, to: Path, *, before_apply: bool = False) -> Exported:
    """Write the environment's manifests into a folder; one that holds the same already is left alone.

    Args:
        site: The environment.
        to: The folder: new, empty, or an earlier export of the same environment.
        before_apply: Export although Terraform made nothing yet: without the pods' role and Redis.

    Raises:
        PolicyDenied: a rule denies the manifests.
        Refused: the folder holds something else, or nothing was applied yet.
        SettingsError: values, repository or folder are wrong.
    """
    files = _files(site, {} if before_apply else _outputs(site))
    folder = to.resolve()
    with held(folder):
        found = read_folder(folder)
        if foreign := foreign_files(found, site.name):
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            raise Refused(
                f"the folder holds what is no export of {site.name}: "
                f"{', '.join(foreign[:SHOWN])}{more}",
                where=str(folder),
                fix="name a folder that is new or empty, or take these files away",
            )
        written = tuple(path for path, text in files.items() if found.get(path) != text.encode())
        removed = tuple(sorted(set(found) - set(files)))
        if written or removed:
            replace_folder(folder, files)
    return Exported(
        environment=site.name,
        folder=str(folder),
        digest=files_digest(files),
        files=len(files),
        written=written,
        removed=removed,
        application=f"ray-platform-{site.name}",
        sync=site.environment.gitops.sync,
    )


def _outputs(site: Site) -> Mapping[str, Any]:
    outputs = recorded_outputs(site)
    if not outputs:
        raise Refused(
            f"nothing was applied in {site.name} yet, so the role of the pods is not known",
            where=site.name,
            fix=f"`ray-platform apply --env {site.name}` first, or export with --before-apply",
        )
    return outputs


def _files(site: Site, outputs: Mapping[str, Any]) -> dict[str, str]:
    values, rendered = render(site, outputs)
    if (verdict := judge(site, rendered)).denied:
        raise PolicyDenied(
            "policy denies the manifests: "
            + "; ".join(f"[{v.id}] {v.resource}: {v.message}" for v in verdict.violations),
            where=f"helm/ray for {site.name}",
            fix="; ".join(sorted({v.fix for v in verdict.violations})),
        )
    settings = site.settings
    others = [settings.environment(name) for name in settings.environment_names]
    return export_files(
        {"ray": rendered.documents},
        _delivery(site, site.environment),
        [_delivery(site, each) for each in others if not each.cloud.emulator],
        sources={
            "chart": chart_digest(settings.ray_chart),
            "values": digest(values),
            "policies": verdict.bundle_digest,
        },
    )


def _delivery(site: Site, environment: Environment) -> Delivery:
    choice = environment.gitops
    repository = choice.repository or site.git.remote()
    if "://" not in repository and "@" not in repository:
        raise SettingsError(
            "Argo CD needs the address of a Git repository, and the checkout has no remote `origin`",
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
