"""One event, two APIs: ``v1`` and ``events.k8s.io/v1`` show the same objects with other names of fields."""

from collections.abc import Mapping
from typing import Any

GROUP = "events.k8s.io"
#: Field of v1 -> field of events.k8s.io/v1.
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}


def as_new_event(content: Mapping[str, Any]) -> dict[str, Any]:
    """A stored event, which has v1's shape, as events.k8s.io/v1 shows it."""
    return {_NAMES.get(key, key): value for key, value in content.items()}
