"""`ray-platform gitops`: an environment's manifests as files, for Argo CD."""

from pathlib import Path

import click

from ray_platform.cli.output import env_option, json_option, known, print_json, say
from ray_platform.config.settings import load_settings
from ray_platform.gitops.export import export as write_export
from ray_platform.session.environment_session import open_session
from ray_platform.text.canonical import short


@click.group()
def gitops() -> None:
    """Export manifests for Argo CD.

    \b
    Examples:
      ray-platform gitops export --env staging --to gitops/staging
      ray-platform gitops export --env dev --to gitops/dev --before-apply --json
    """


@gitops.command()
@env_option
@click.option(
    "--to", required=True, metavar="DIR", help="A new or empty folder, or an earlier export."
)
@click.option(
    "--before-apply",
    is_flag=True,
    help="Leave out what Terraform has not created yet: role, Redis.",
)
@json_option
def export(env: str, to: str, before_apply: bool, as_json: bool) -> None:
    """Write the manifests for Argo CD to DIR.

    Policies are checked first. There is one file per object, and the same environment gives the
    same bytes. DIR is replaced as a whole. It is refused if it contains anything but an earlier
    export.

    \b
    Examples:
      ray-platform gitops export --env staging --to gitops/staging
      kubectl kustomize gitops/staging
    """
    known(env)
    done = write_export(open_session(load_settings(), env), Path(to), before_apply=before_apply)
    if as_json:
        print_json(done)
        return
    if done.unchanged:
        say(f"{done.folder} holds these {done.files} files already ({short(done.digest)})")
    else:
        say(
            f"{done.folder}: {done.files} files ({short(done.digest)}), "
            f"{len(done.written)} written, {len(done.removed)} removed"
        )
    say(f"commit them; then, once: kubectl apply -f {to}/argocd/application.yaml")
    if done.sync == "manual":
        say(f"{env} syncs by hand: argocd app sync {done.application}")
