"""Who calls, and an answer as it goes out: what counts, limits and checks know of a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Caller:
    """Who calls. ``repository_ids`` is None where all of the installation's are meant."""

    kind: Literal["anonymous", "app", "installation", "user"]
    login: str = ""
    app_id: int = 0
    installation_id: int = 0
    permissions: Mapping[str, str] = field(default_factory=dict)
    repository_ids: frozenset[int] | None = None

    @property
    def budget(self) -> str:
        """The name under which its calls are counted against the rate limit."""
        return f"{self.kind}:{self.installation_id or self.app_id or self.login}"


@dataclass(frozen=True)
class Sent:
    """An answer as it goes out."""

    status: int
    body: bytes
    headers: dict[str, str]
