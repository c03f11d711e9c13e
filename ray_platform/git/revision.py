"""A revision: the commit that a change comes from, and which work its changed paths ask for."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ray_platform.text.canonical import short

#: What a changed path asks for, in the order of the walk.
Work = Literal["policy", "change", "ray_cluster", "burst"]

WORK_ORDER: tuple[Work, ...] = ("policy", "change", "ray_cluster", "burst")

#: The first matching prefix decides. ``{environment}`` stands for one environment's own file.
_PATHS: tuple[tuple[str, Work], ...] = (
    ("terraform/", "change"),
    ("environments/", "change"),
    ("helm/ray/", "ray_cluster"),
    ("workloads/", "burst"),
    ("policies/", "policy"),
)

_DOCUMENT_ENDINGS = (".md", ".png", ".svg")


@dataclass(frozen=True)
class Revision:
    """A commit, and what stands in the working tree beside it.

    ``changes_digest`` is the SHA-256 over what differs from the commit, empty when nothing does.
    """

    commit: str
    branch: str = ""
    subject: str = ""
    changes_digest: str = ""

    @property
    def dirty(self) -> bool:
        return bool(self.changes_digest)

    def __str__(self) -> str:
        mark = f" with uncommitted changes {short(self.changes_digest)}" if self.dirty else ""
        return f"{short(self.commit)}{mark}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dirty": self.dirty}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Revision":
        return cls(**{key: value for key, value in data.items() if key != "dirty"})


def work_for(paths: Iterable[str], environment: str) -> tuple[Work, ...]:
    """The work that changed paths ask for in one environment, in the order of the walk.

    A file of another environment (``terraform/environments/prod.tfvars`` for ``dev``) asks for
    nothing, nor does a document. ``change`` includes the Ray cluster, which is derived from it, and
    the policy checks.
    """
    asked = {work for path in paths if (work := _work_for_path(path, environment))}
    if "change" in asked:
        asked -= {"policy", "ray_cluster"}
    return tuple(work for work in WORK_ORDER if work in asked)


def _work_for_path(path: str, environment: str) -> Work | None:
    if path.endswith(_DOCUMENT_ENDINGS):
        return None
    for own in ("terraform/environments/", "environments/"):
        if path.startswith(own):
            name = path.removeprefix(own).split("/")[0].split(".")[0]
            return "change" if name == environment else None
    return next((work for prefix, work in _PATHS if path.startswith(prefix)), None)
