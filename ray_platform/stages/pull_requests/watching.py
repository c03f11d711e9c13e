"""The repositories that this deployment watches, each with its environments, and one look at all of them."""

from collections.abc import Callable, Iterator

from dagster import DagsterInstance

from ray_platform.clients.tick_memory import TickMemory
from ray_platform.core.pull_request.model import Repository
from ray_platform.settings import Settings
from ray_platform.stages.pull_requests.connection import connect
from ray_platform.stages.pull_requests.memory import Memory
from ray_platform.stages.pull_requests.tick import Tick, Watch, tick


def environments_of(settings: Settings, repository: Repository) -> tuple[str, ...]:
    """The environments that a repository's pull requests change, in the order of promotion."""
    app = settings.github
    first = str(app.repositories[0]) if app else ""
    return tuple(
        name
        for name in settings.environment_names
        if (settings.environment(name).pull_requests.repository or first) == str(repository)
    )


def look_at_all(
    settings: Settings, instance: DagsterInstance, run_url: Callable[[str], str]
) -> Iterator[tuple[Repository, Tick]]:
    """Look once at each watched repository; what a look remembers is kept before its work is handed on.

    Raises:
        PlatformError: GitHub does not answer, or an environment cannot be read.
    """
    for repository in settings.github.repositories if settings.github else ():
        memory = TickMemory(instance, f"pull_requests/{repository}")
        connection = connect(settings, repository)
        watch = Watch(
            settings=settings,
            forge=connection.forge,
            instance=instance,
            fetch=connection.fetch,
            base_branch=connection.base_branch,
            environments=environments_of(settings, repository),
            run_url=run_url,
        )
        done = tick(watch, Memory.from_json(memory.read()))
        memory.write(done.memory.to_json())
        yield repository, done
