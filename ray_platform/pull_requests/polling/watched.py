"""The repositories that this deployment watches, each with its environments, and one look at all of them."""

import time
from collections.abc import Callable, Iterator

from dagster import DagsterInstance

from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.github.webhooks.webhooks_store import DirtyMarks
from ray_platform.pull_requests.connection import connect
from ray_platform.pull_requests.decision_facts import environments_set_up
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.pull_requests.polling.cursor_store import TickMemory
from ray_platform.pull_requests.polling.discovery import RepositoryWatch
from ray_platform.pull_requests.polling.poll import Tick, tick
from ray_platform.session.environment_session import EnvironmentSession


def environments_of(settings: Settings, repository: Repository) -> tuple[str, ...]:
    """The environments that a repository's pull requests change, in the order of promotion."""
    app = settings.github
    first = str(app.repositories[0]) if app else ""
    return tuple(
        name
        for name in environments_set_up(settings)
        if (settings.environment(name).pull_requests.repository or first) == str(repository)
    )


def repository_of(session: EnvironmentSession) -> Repository | None:
    """The repository whose pull requests change an environment; None without a GitHub App."""
    app = session.current_settings.github
    if app is None or not app.repositories:
        return None
    named = session.environment.pull_requests.repository
    return Repository(*named.split("/")) if named else app.repositories[0]


#: How often GitHub is asked while nothing says that there is news; what is under way is asked about sooner.
POLL_SECONDS = 30.0
_UNDER_WAY_SECONDS = 10.0


def is_due(memory: Memory, *, marked: bool, now: float) -> bool:
    """Whether a repository is to be looked at: a webhook has marked it, or the last look is long ago."""
    waited = now - memory.looked_at
    moving = any(not pull.settled and not pull.finished for pull in memory.pulls.values())
    return marked or waited >= POLL_SECONDS or (moving and waited >= _UNDER_WAY_SECONDS)


def look_at_all(
    settings: Settings,
    instance: DagsterInstance,
    run_url: Callable[[str], str],
    *,
    due_only: bool = False,
) -> Iterator[tuple[Repository, Tick]]:
    """Look once at each watched repository; what a look remembers is kept before its work is handed on.

    Args:
        settings: Of this deployment.
        instance: Dagster's storage.
        run_url: The address of a run in the Dagster UI.
        due_only: Leave out those that were looked at a moment ago, unless a webhook marked them since.

    Raises:
        PlatformError: GitHub does not answer, or an environment cannot be read.
    """
    marks = DirtyMarks(settings.home)
    for repository in settings.github.repositories if settings.github else ():
        memory = TickMemory(instance, f"pull_requests/{repository}")
        before = Memory.from_json(memory.read())
        marked = marks.take(repository)
        if due_only and not is_due(before, marked=marked, now=time.time()):
            continue
        if marked or not due_only:
            before.issues_at = 0  # the mark may be of an issue
        connection = connect(settings, repository)
        watch = RepositoryWatch(
            settings=settings,
            forge=connection.forge,
            instance=instance,
            fetch=connection.fetch,
            base_branch=connection.base_branch,
            environments=environments_of(settings, repository),
            run_url=run_url,
        )
        done = tick(watch, before)
        memory.write(done.memory.to_json())
        yield repository, done
