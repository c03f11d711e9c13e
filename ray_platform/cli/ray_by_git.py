"""What `ray-platform ray` says where Argo CD deploys the Ray cluster from Git."""

from ray_platform.cli.output import print_json, table
from ray_platform.gitops import deployed
from ray_platform.gitops.deployed import DeployedState
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import short


def rows(found: DeployedState | None) -> list[tuple[str, str]]:
    """The rows of `ray status`; none where the platform itself deploys."""
    if found is None:
        return []
    commit = f"{short(found.commit)}, {found.path} on {found.branch}" if found.commit else "none"
    sync = f"{found.sync} to {short(found.revision)}" if found.sync else "not looked at yet"
    return [
        ("mode", "gitops"),
        ("commit", commit),
        ("sync", sync if found.is_known else f"no Application {found.application}"),
        ("health", found.health or "unknown"),
        *([("sync waits", found.why_not)] if found.why_not else []),
    ]


def history(session: EnvironmentSession, *, as_json: bool) -> None:
    """The commits of the environment's export, the oldest first."""
    commits = deployed.history(session)
    if as_json:
        print_json({"environment": session.name, "commits": [vars(one) for one in commits]})
        return
    listed = [(short(one.commit), one.at, one.subject) for one in commits]
    table(f"The export of {session.name} in Git", ("commit", "at", "subject"), listed)
