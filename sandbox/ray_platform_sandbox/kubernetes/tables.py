"""The columns of `kubectl get`: the server makes them, from the CRD or as below for built-in kinds."""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray_platform_sandbox.kubernetes.schema.kinds import Kind

_NAME = {"name": "Name", "type": "string", "format": "name", "priority": 0, "description": "name"}
_AGE: Mapping[str, Any] = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_STEP = re.compile(r"\.?([A-Za-z0-9_\-]+)|\[\?\(@\.(\w+)==[\"']([^\"']*)[\"']\)\]|\[(\d+)\]")


def _ready(pod: Mapping[str, Any]) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    wanted = len((pod.get("spec") or {}).get("containers") or [])
    return f"{sum(bool(status.get('ready')) for status in statuses)}/{wanted}"


def _pod_status(pod: Mapping[str, Any]) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if reason := ((container.get("state") or {}).get(state) or {}).get("reason"):
                return str(reason)
    return str(status.get("reason") or status.get("phase") or "Pending")


def _restarts(pod: Mapping[str, Any]) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(status.get("restartCount", 0)) for status in statuses)


def _ports(service: Mapping[str, Any]) -> str:
    ports = (service.get("spec") or {}).get("ports") or []
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports)


def _involved(event: Mapping[str, Any]) -> str:
    involved = event.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


Cell = str | Callable[[Mapping[str, Any]], Any]
_BUILT_IN: Mapping[str, Sequence[tuple[str, Cell]]] = {
    "pods": (("Ready", _ready), ("Status", _pod_status), ("Restarts", _restarts)),
    "services": (
        ("Type", ".spec.type"),
        ("Cluster-IP", ".spec.clusterIP"),
        ("Port(s)", _ports),
    ),
    "namespaces": (("Status", ".status.phase"),),
    "secrets": (("Type", ".type"), ("Data", lambda secret: len(secret.get("data") or {}))),
    "configmaps": (("Data", lambda content: len(content.get("data") or {})),),
    "events": (
        ("Type", ".type"),
        ("Reason", ".reason"),
        ("Object", _involved),
        ("Message", ".message"),
    ),
}


def table(kind: Kind, items: Iterable[Mapping[str, Any]], version: int) -> dict[str, Any]:
    """A `Table` of objects, each row with the object's metadata.

    Args:
        kind: Of the objects.
        items: The objects.
        version: The collection's resource version.
    """
    columns = _columns(kind)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(version)},
        "columnDefinitions": [
            _NAME,
            *(
                {
                    "name": name,
                    "type": "string" if kind_of == "date" else kind_of,
                    "format": "",
                    "priority": priority,
                    "description": name,
                }
                for name, kind_of, priority, _ in columns
            ),
        ],
        "rows": [
            {
                "cells": [
                    item["metadata"]["name"],
                    *(_cell(item, source, kind_of) for _, kind_of, _, source in columns),
                ],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": item["metadata"],
                },
            }
            for item in items
        ],
    }


def _columns(kind: Kind) -> list[tuple[str, str, int, Cell]]:
    if kind.schema is None and not kind.columns:
        listed = _BUILT_IN.get(kind.plural, ())
        made: list[tuple[str, str, int, Cell]] = [(n, "string", 0, cell) for n, cell in listed]
        return [*made, ("Age", "date", 0, str(_AGE["jsonPath"]))]
    return [
        (c["name"].title(), c["type"], int(c.get("priority", 0)), str(c["jsonPath"]))
        for c in kind.columns or (_AGE,)
    ]


def _cell(item: Mapping[str, Any], source: Cell, kind_of: str) -> Any:
    value = json_path(item, source) if isinstance(source, str) else source(item)
    if value is None:
        return "<unknown>" if kind_of == "date" else ""
    return _age(str(value)) if kind_of == "date" else value


def json_path(item: Any, path: str) -> Any:
    """What a column's path names: ``.a.b``, ``[0]``, ``[?(@.type=="x")]``; None: nothing."""
    for step in _STEP.finditer(path):
        name, field, wanted, place = step.groups()
        if name is not None:
            item = item.get(name) if isinstance(item, Mapping) else None
        elif not isinstance(item, list):
            return None
        elif place is not None:
            item = item[int(place)] if int(place) < len(item) else None
        else:
            item = next((each for each in item if each.get(field) == wanted), None)
    return item


def _age(timestamp: str) -> str:
    """A time's distance from now, as kubectl shows it: 45s, 12m, 3h5m, 2d."""
    try:
        then = datetime.datetime.fromisoformat(timestamp)
    except ValueError:
        return "<invalid>"
    seconds = max(0, int((datetime.datetime.now(datetime.UTC) - then).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if days < 2 else f"{days}d"
