"""What the GitHub App must be allowed, and why: the least that its calls need.

``docs/reference/github-app.md`` and ``github-app-manifest.json`` next to it repeat it; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_LEVELS = ("", "read", "write", "admin")


@dataclass(frozen=True)
class Permission:
    """One permission by GitHub's name for it in the API, and the name that its page shows."""

    name: str
    level: Literal["read", "write"]
    shown: str

    def is_met_by(self, granted: Mapping[str, str]) -> bool:
        return _rank(granted.get(self.name, "")) >= _rank(self.level)


NEEDED = (
    Permission("metadata", "read", "Metadata"),
    Permission("contents", "write", "Contents"),
    Permission("pull_requests", "write", "Pull requests"),
    Permission("issues", "write", "Issues"),
    Permission("checks", "write", "Checks"),
    Permission("deployments", "write", "Deployments"),
    Permission("members", "read", "Members"),
)


def missing(granted: Mapping[str, str]) -> tuple[Permission, ...]:
    """What is needed and not granted, or granted with less than is needed."""
    return tuple(one for one in NEEDED if not one.is_met_by(granted))


def _rank(level: str) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 0
