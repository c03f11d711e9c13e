"""Incidents in the artifact store: one file each, replaced whole, so that ``kill -9`` leaves no half.

::

    incidents/ENV/KEY.json    one incident; the key is made of where the drift is

The file's name is the incident's, so a look that was cut short and made again finds what it wrote. What
tells incidents to people elsewhere (an issue in a repository) comes in as a `Board`; the record is written
after it was told, and the board looks for an incident's key before it makes anything new.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from ray_platform.drift.incidents.incident import Incident, follow, to_apply_away
from ray_platform.drift.items import DriftItem
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.store.artifact_store import Artifacts
from ray_platform.text.errors import ArtifactError


class Board(Protocol):
    """Where incidents are told to people."""

    def tell(self, incident: Incident) -> str:
        """Tell an incident as it is now, open or closed; return where, as an address.

        It may be called again with the same incident, also after it was cut short: it must find what it
        made by the incident's ``key`` instead of making a second one.
        """
        ...


class RecordsAlone:
    """No board: the records in the artifact store are all there is."""

    def tell(self, incident: Incident) -> str:
        return ""


def incidents(artifacts: Artifacts, environment: str) -> tuple[Incident, ...]:
    """Every incident of an environment, open ones first, the newest first.

    Raises:
        ArtifactError: a record cannot be read.
    """
    found = []
    for key in artifacts.store.keys(f"incidents/{environment}"):
        try:
            found.append(Incident.from_json(artifacts.read(key) or {}))
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"an incident's record is malformed: {error}",
                where=artifacts.store.url(key),
                fix="restore the object's earlier version, or remove it: what lasts is seen again",
            ) from error
    found.sort(key=lambda incident: incident.opened_at, reverse=True)
    return tuple(sorted(found, key=lambda incident: not incident.is_open))


def update_incidents(
    artifacts: Artifacts,
    environment: str,
    items: Sequence[DriftItem],
    *,
    board: Board | None = None,
    now: datetime | None = None,
) -> tuple[Incident, ...]:
    """Open, update and close incidents after a look for drift; return those that are open now.

    Args:
        artifacts: Where the records are.
        environment: Whose.
        items: What the look found.
        board: Who is told; None: nobody.
        now: When; None: now.

    Raises:
        ArtifactError: a record cannot be read or written.
    """
    told = board or RecordsAlone()
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    for incident in follow(environment, incidents(artifacts, environment), items, now=at):
        # Told first: cut short here, the next look tells it again, opening or closing alike.
        reference = told.tell(incident) or incident.reference
        save_incident(artifacts, replace(incident, reference=reference))
    return tuple(incident for incident in incidents(artifacts, environment) if incident.is_open)


def save_incident(artifacts: Artifacts, incident: Incident) -> None:
    artifacts.write(f"incidents/{incident.environment}/{incident.key}.json", incident.to_json())


@dataclass(frozen=True)
class Revert:
    """A change that applies drift away: the files of the commit that was applied last, or deployed last.

    ``what`` is ``infrastructure`` (Terraform's) or ``ray`` (the Helm release's). ``key`` is the same for one
    episode of one incident, so that it is asked for once.
    """

    environment: str
    what: Literal["infrastructure", "ray"]
    commit: str
    incident: str
    key: str


def reverts_of(session: EnvironmentSession) -> tuple[Revert | str, ...]:
    """What would mend the environment's major drift, or why nothing would; nothing where none is open.

    The commit that stands is gone back to, not the newest: a change of Git that nobody has approved yet must
    not ride along.
    """
    known = incidents(session.artifacts, session.name)
    answers: list[Revert | str] = []
    if (incident := to_apply_away(known, of_releases=False)) is not None:
        applied = session.records.applied()
        if applied is None:
            answers.append(f"{session.name}: nothing is applied, so there is nothing to go back to")
        else:
            revision = (applied.commit, applied.changes_digest)
            answers.append(_revert(session.name, "infrastructure", revision, incident, "apply"))
    if (incident := to_apply_away(known, of_releases=True)) is not None:
        deployed = session.artifacts.read(f"environments/{session.name}/release.json") or {}
        revision = (str(deployed.get("commit", "")), str(deployed.get("changes_digest", "")))
        answers.append(_revert(session.name, "ray", revision, incident, "up"))
    return tuple(answers)


def _revert(
    environment: str,
    what: Literal["infrastructure", "ray"],
    revision: tuple[str, str],
    incident: Incident,
    command: str,
) -> Revert | str:
    commit, changes = revision
    if changes or not commit:
        return (
            f"{environment}: what stands was made from no commit that is known (uncommitted changes, "
            f"a rollback); "
            f"run ray-platform {command} --env {environment}"
        )
    key = f"revert-{environment}-{incident.key}-{incident.episode}"
    return Revert(environment, what, commit, incident.key, key)
