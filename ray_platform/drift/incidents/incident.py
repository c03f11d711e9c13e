"""Incidents: major drift that lasts. One for each resource and attribute, however often it is seen.

An incident opens when it is first seen, is updated while it lasts and closes when it is gone. When it
comes again, the same incident opens again and counts an episode more: there is never a second one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ray_platform.drift.causes import Cause
from ray_platform.drift.items import NOT_ASKED, DriftItem
from ray_platform.drift.release_items import is_of_release
from ray_platform.text.canonical import digest, short

#: Items of one incident that are kept; the count of all stands beside them.
_KEPT_ITEMS = 20


@dataclass(frozen=True)
class Incident:
    """One incident. Times are ISO 8601 in UTC; ``closed_at`` is empty while it is open.

    ``key`` names it for ever; ``episode`` counts how often it opened, ``seen`` the looks of this episode.
    ``items`` are the drift items that it was last seen with. ``reference`` is where it is told outside
    (an issue's address), or empty.
    """

    key: str
    environment: str
    address: str
    attribute: str
    title: str
    cause: Cause
    who: str
    opened_at: str
    seen_at: str
    closed_at: str
    episode: int
    seen: int
    items: tuple[Mapping[str, Any], ...]
    item_count: int
    reference: str = ""

    @property
    def is_open(self) -> bool:
        return not self.closed_at

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "items": [dict(item) for item in self.items], "open": self.is_open}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Incident":
        fields = {key: value for key, value in data.items() if key != "open"}
        return cls(**{**fields, "items": tuple(fields["items"])})


def incident_key(environment: str, address: str, attribute: str) -> str:
    """What names an incident: where it is, without list indices, which move as others come and go."""
    return short(digest([environment, address, head_of(attribute)]))


def head_of(attribute: str) -> str:
    """The attribute at the top: ``ingress`` of ``ingress[1].cidr_blocks[0]``."""
    return attribute if attribute.startswith("(") else attribute.split(".")[0].split("[")[0]


def follow(
    environment: str, known: Iterable[Incident], items: Sequence[DriftItem], *, now: str
) -> tuple[Incident, ...]:
    """The incidents after a look, only those that changed; the same look again changes only times.

    Args:
        environment: Whose.
        known: Every incident of the environment so far.
        items: What was seen; the major ones count. An incident below the address of what could not be
            looked at stays as it is.
        now: When, ISO 8601 in UTC.
    """
    by_key = {incident.key: incident for incident in known}
    seen: dict[str, list[DriftItem]] = {}
    for item in items:
        if item.severity == "major":
            seen.setdefault(incident_key(environment, item.address, item.attribute), []).append(
                item
            )
    unseen = tuple(f"{item.address}/" for item in items if item.attribute == NOT_ASKED)
    changed = [_seen(environment, by_key.get(key), key, seen[key], now) for key in sorted(seen)]
    changed += [
        replace(incident, closed_at=now)
        for key, incident in sorted(by_key.items())
        if incident.is_open and key not in seen and not incident.address.startswith(unseen)
    ]
    return tuple(changed)


def _seen(
    environment: str, known: Incident | None, key: str, items: Sequence[DriftItem], now: str
) -> Incident:
    first = items[0]
    head = head_of(first.attribute)
    where = f"{first.address} {head}".strip()
    told = next((item for item in items if item.who), first)
    again = known is not None and known.is_open
    return Incident(
        key=key,
        environment=environment,
        address=first.address,
        attribute=head,
        title=f"{where}: {first.reason}",
        cause=first.cause,
        who=told.who,
        opened_at=known.opened_at if known and again else now,
        seen_at=now,
        closed_at="",
        episode=1 if known is None else known.episode + (not again),
        seen=known.seen + 1 if known and again else 1,
        items=tuple(asdict(item) for item in items[:_KEPT_ITEMS]),
        item_count=len(items),
        reference=known.reference if known else "",
    )


def to_apply_away(incidents: Iterable[Incident], *, of_releases: bool) -> Incident | None:
    """The newest open incident that going back to what was deployed last would mend; None: there is none.

    What was made beside Terraform is not in its hands, and a change in Git is on its way through the gates.

    Args:
        incidents: All of an environment.
        of_releases: Those of Helm releases, or those of what Terraform manages.
    """
    mendable = [
        incident
        for incident in incidents
        if incident.is_open
        and incident.cause == "by_hand"
        and is_of_release(incident.address) == of_releases
    ]
    return max(mendable, key=lambda incident: (incident.opened_at, incident.key), default=None)
