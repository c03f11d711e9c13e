"""What a look at pull requests and issues asks Dagster to start."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A run to start. ``key`` names it for ever."""

    job: str
    environment: str
    key: str
    tags: Mapping[str, str]
