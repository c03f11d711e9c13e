"""The command ``ray start`` that KubeRay makes of a group's parameters and its container's resources."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.amounts import amount

#: Flags that take ``true`` and ``false``; any other of that value is a switch.
_WITH_A_BOOLEAN = ("log-color", "include-dashboard", "include-log-monitor")
_GPUS = "gpu"
_ACCELERATORS = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}


def start_parameters(group: Mapping[str, Any]) -> dict[str, str]:
    """A group's ``rayStartParams``, with its own resources and labels in them."""
    parameters = dict(group.get("rayStartParams") or {})
    others: dict[str, float] = {}
    for name, value in (group.get("resources") or {}).items():
        lower = name.lower()
        if lower == "cpu":
            parameters["num-cpus"] = str(_whole(value))
        elif lower == "memory":
            parameters["memory"] = str(_whole(value))
        elif _is_gpu(lower):
            parameters["num-gpus"] = str(_whole(value))
        else:
            others[name] = float(amount(value))
    if others:
        parameters["resources"] = f"'{_resources(others)}'"
    if group.get("labels"):
        parameters["labels"] = ",".join(f"{k}={v}" for k, v in sorted(group["labels"].items()))
    return parameters


def start_command(is_head: bool, parameters: dict[str, str], resources: Mapping[str, Any]) -> str:
    """The command; what the container's resources say is added to ``parameters``."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    cpus = limits.get("cpu") or requests.get("cpu")
    if cpus:
        parameters.setdefault("num-cpus", str(_whole(cpus)))
    if limits.get("memory"):
        parameters.setdefault("memory", str(_whole(limits["memory"])))
    for name in sorted(limits):
        if _is_gpu(name) and amount(limits[name]):
            parameters.setdefault("num-gpus", str(_whole(limits[name])))
        if name in _ACCELERATORS and amount(limits[name]):
            known = json.loads(parameters.get("resources", "{}").strip("'\"` "))
            if not set(known) & set(_ACCELERATORS.values()):
                known[_ACCELERATORS[name]] = float(amount(limits[name]))
                parameters["resources"] = f"'{_resources(known)}'"
    flags = "".join(map(_flag, *zip(*sorted(parameters.items()), strict=True)))
    return f"ray start {'--head ' if is_head else ''}{flags}"


def _flag(name: str, value: str) -> str:
    if value.lower() in ("true", "false") and name not in _WITH_A_BOOLEAN:
        return f" --{name} " if value.lower() == "true" else ""
    return f" --{name}={value} "


def _resources(values: Mapping[str, float]) -> str:
    whole = {k: int(v) if v == int(v) else v for k, v in sorted(values.items())}
    return json.dumps(whole, separators=(",", ":"))


def _is_gpu(name: str) -> bool:
    return name.endswith(_GPUS) or name.startswith("nvidia.com/mig-")


def _whole(value: object) -> int:
    return math.ceil(amount(value))
