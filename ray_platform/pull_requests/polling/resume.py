"""Find again the merged pull requests that wait, after the poller's cursor was lost.

A first look at a repository leaves out what was closed before: that is history. A look with a lost cursor (a
platform upgrade that changes its shape, a restored database) is no first look: a pull request that was merged
meanwhile may still wait for its plan, approval or apply. What tells both apart must therefore live outside
the cursor. It is one time in each environment's artifact store: every merged pull request that still
waits was merged at or after it. It only moves forward, so a copy that is out of date is safe: it
finds more pull requests, which are judged again and found done.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ray_platform.config.repository import Repository
from ray_platform.github.forge import Forge
from ray_platform.github.model import PullRequest, Watermark
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.text.errors import PlatformError

#: The records of an environment; raises PlatformError where its settings or store cannot be read.
RecordsOf = Callable[[str], PullRequestRecords]


@dataclass(frozen=True)
class Resumed:
    """Where to go on. ``since`` is ISO 8601 by the forge's clock, empty while it is not known.

    ``pulls`` were merged at or after it. ``unread`` maps an environment to why it could not be asked.
    """

    since: str
    pulls: tuple[PullRequest, ...]
    unread: Mapping[str, str]


def resume(forge: Forge, environments: Iterable[str], records: RecordsOf, first: str) -> Resumed:
    """Find the merged pull requests that a lost cursor knew.

    Args:
        forge: The repository.
        environments: All that its pull requests change.
        records: The records of an environment.
        first: The time to begin with where no environment has one, since this is the first look.

    Returns:
        On a first look, no pull requests and ``first``. ``since`` is empty where no environment has the
        time and one could not be asked: it may have it, so the next look has to ask again.

    Raises:
        ForgeError: the forge does not answer.
    """
    times, unread = set(), {}
    for name in environments:
        try:
            times.add(records(name).merged_since(forge.repository))
        except PlatformError as error:
            unread[name] = error.what
    since = max(times, default="")  # each one holds; the newest finds the fewest that are done
    if not since:
        return Resumed("" if unread else first, (), unread)
    found = forge.changed(Watermark(since)).pull_requests
    pulls = tuple(pull for pull in found if pull.is_merged and pull.merged_at >= since)
    return Resumed(since, pulls, unread)


def note_merged_since(
    repository: Repository, environments: Iterable[str], records: RecordsOf, since: str
) -> dict[str, str]:
    """Keep the time in the environments' stores; why it could not be kept, by environment."""
    failed = {}
    for name in environments:
        try:
            records(name).note_merged_since(repository, since)
        except PlatformError as error:
            failed[name] = error.what
    return failed
