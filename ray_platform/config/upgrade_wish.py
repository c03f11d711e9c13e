"""How the pods of a Ray cluster are replaced: as the environment says, or as a run's tag does."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from ray_platform.text.errors import RayError


@dataclass(frozen=True)
class UpgradeWish:
    """How pods that must be replaced are: ``in-place``, or ``blue-green`` by a second cluster.

    ``drain_seconds`` is how long the jobs of the cluster that goes may run on; ``end_jobs`` whether those
    that still run then are ended, or the cluster is left to them; ``waits`` whether somebody stands by until
    it is gone, or a sensor ends it later.
    """

    how: Literal["in-place", "blue-green"] = "in-place"
    drain_seconds: float = 3600.0
    end_jobs: bool = False
    waits: bool = False

    def to_tag(self) -> str:
        """As the value of a run tag."""
        return json.dumps(asdict(self))

    @classmethod
    def from_tag(cls, text: str) -> "UpgradeWish":
        """Raises `RayError` where it is none."""
        try:
            wish = cls(**json.loads(text))
            if wish.how not in ("in-place", "blue-green") or not wish.drain_seconds >= 0:
                raise ValueError(wish.how)
            return wish
        except (TypeError, ValueError) as error:
            raise RayError(
                f"the run's tag is no wish for an upgrade: {error}",
                where="run tag ray_platform/ray_upgrade",
                fix="start it by `ray-platform ray upgrade`",
            ) from error
