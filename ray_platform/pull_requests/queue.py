"""The change queue of an environment: whose pull request it is, and up to where the base branch is applied.

A pull request that is applied while it is open holds the environment until it is merged or closed: another
one's branch does not have its changes, so applying that would take them away again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Queue:
    """``holder`` is a pull request as ``OWNER/NAME#7``, empty when nobody holds it; ``since`` ISO 8601, UTC.

    ``merged_up_to`` is the newest commit of the base branch whose state was applied. ``approvals`` counts
    those that were given by command, so that whoever watches the queue sees that there is a new one.
    """

    holder: str = ""
    since: str = ""
    merged_up_to: str = ""
    approvals: int = 0

    def held_by(self, pull: str, at: str) -> "Queue":
        return self if self.holder == pull else replace(self, holder=pull, since=at)

    def freed_by(self, pull: str) -> "Queue":
        return replace(self, holder="", since="") if self.holder == pull else self

    def up_to(self, commit: str) -> "Queue":
        return replace(self, merged_up_to=commit)

    def approved_by_command(self) -> "Queue":
        return replace(self, approvals=self.approvals + 1)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Queue":
        return cls(**data)
