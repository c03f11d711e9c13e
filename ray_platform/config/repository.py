"""The name of a repository on a code forge."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Repository:
    """A repository by its owner and its name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"
