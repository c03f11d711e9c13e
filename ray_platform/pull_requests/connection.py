"""How this deployment reaches the pull requests of its repositories: the App, and a mirror of each."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from ray_platform.config.partitions import BASE_TAG, ISSUE_TAG, PULL_TAG, REPOSITORY_TAG
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.git.git_client import Git
from ray_platform.github.app_client import connect as connect_app
from ray_platform.github.github_client import GitHubRepository
from ray_platform.github.mirror import mirror_of
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.gate import Connection
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.reporting import note_failure
from ray_platform.pull_requests.reviews import Approvers, may_approve
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.canonical import short
from ray_platform.text.errors import NotApproved, PlatformError, SettingsError


def connect(settings: Settings, repository: Repository) -> Connection:
    """A watched repository on GitHub.

    Raises:
        SettingsError: no App is set up, or it does not watch this repository.
    """
    app = settings.github
    if app is None or repository not in app.repositories:
        raise SettingsError(
            f"the pull requests of {repository} are not watched by this deployment",
            where="RAY_PLATFORM_GITHUB_REPOSITORIES" if app else "RAY_PLATFORM_GITHUB_APP_ID",
            fix="set up the GitHub App as docs/how-to/set-up-the-github-app.md says, and name the repository",
        )
    forge = GitHubRepository(connect_app(app), repository)
    mirror = mirror_of(settings, forge)
    return Connection(
        forge=forge,
        fetch=lambda numbers: mirror.fetch(sorted(numbers)),
        base_branch=settings.branch or "main",
    )


def session_of(
    settings: Settings,
    name: str,
    tags: Mapping[str, str],
    *,
    commit: str | None,
) -> "partial[EnvironmentSession]":
    """What makes the site of a run: of a pull request at its commit, or of the watched checkout.

    The commits are fetched where this machine does not have them yet, as in a pod of its own.
    """
    pull = PullRef.parse(tags[PULL_TAG]) if PULL_TAG in tags else None
    issue = PullRef.parse(tags[ISSUE_TAG]) if ISSUE_TAG in tags else None
    about = pull or issue
    if about is None:
        return partial(open_session, settings, name, commit)
    base = tags.get(BASE_TAG)
    commits = [item for item in (commit, base) if item]
    git = git_with(settings, about.repository, commits, [pull.number] if pull else [])
    return partial(open_session, settings, name, commit, base=base, git=git, pull=pull, issue=issue)


@contextmanager
def unreadable_noted(
    settings: Settings, name: str, tags: Mapping[str, str], run_id: str
) -> Iterator[None]:
    """Write down that a pull request's own files make no session: where to, the base branch's files say."""
    try:
        yield
    except PlatformError as error:
        if PULL_TAG in tags and BASE_TAG in tags:
            pull, base = PullRef.parse(tags[PULL_TAG]), tags[BASE_TAG]
            git = git_with(settings, pull.repository, [base], [])
            note_failure(
                open_session(settings, name, base, base=base, git=git), pull, run_id, error
            )
        raise


def session_for(settings: Settings, record: PlanRecord, *, asked_by: str) -> EnvironmentSession:
    """The site of a stored plan, under the rules that its apply will be judged by."""
    commit = None if record.commit.dirty else record.commit.commit
    if not record.pull_request:
        return open_session(settings, record.environment, commit, asked_by=asked_by)
    tags = tags_of(settings, record)
    return session_of(settings, record.environment, tags, commit=commit)(asked_by=asked_by)


def tags_of(settings: Settings, record: PlanRecord) -> dict[str, str]:
    """The run tags of the apply of a pull request's plan, under the rules of its base branch now."""
    pull = PullRef.parse(record.pull_request)
    connection = connect(settings, pull.repository)
    base = connection.fetch([pull.number]).head(connection.base_branch) or record.base
    return {
        PULL_TAG: record.pull_request,
        REPOSITORY_TAG: str(pull.repository),
        BASE_TAG: base,
    }


def require_may_approve(session: EnvironmentSession, record: PlanRecord, by: str) -> None:
    """Refuse an approval that would not count.

    Raises:
        NotApproved: ``by`` is the author, or nobody whom the environment names.
    """
    named = session.environment.approval
    if not (named.people or named.teams or record.pull_request):
        return
    author, members = "", set(named.people)
    if record.pull_request or named.teams:
        app = session.current_settings.github
        pull = PullRef.parse(record.pull_request) if record.pull_request else None
        if app is None or not (pull or app.repositories):
            raise SettingsError(
                f"the members of {', '.join(named.teams)} are not known without the GitHub App",
                where=f"environments/{session.name}.toml",
                fix="set up the App, or name people in approval.people",
            )
        forge = connect(
            session.current_settings, pull.repository if pull else app.repositories[0]
        ).forge
        author = forge.pull_request(pull.number).author if pull else ""
        members |= {login for team in named.teams for login in forge.members(team)}
    approvers = Approvers.of(named.required, members if named.people or named.teams else None)
    if why := may_approve(by, author, approvers):
        raise NotApproved(
            f"an approval by {by} does not count: {by} {why}",
            where=f"environment {session.name}, plan {short(record.plan_digest)}",
            fix="let somebody approve whom approval.people or approval.teams names",
        )


def tell_of_approval(session: EnvironmentSession, record: PlanRecord) -> None:
    """Let the sensor see that a pull request's plan was approved by command."""
    records = PullRequestRecords(session.artifacts, record.environment)
    records.change_queue(Queue.approved_by_command)


def git_with(
    settings: Settings, repository: Repository, commits: Iterable[str], pulls: Iterable[int]
) -> Git:
    """The mirror of a repository, fetched with the heads of ``pulls`` if it lacks one of the commits."""
    known = Git(settings.home / "mirrors" / f"{repository}.git")
    if known.repository.is_dir() and all(known.has(commit) for commit in commits):
        return known
    return connect(settings, repository).fetch(pulls)
