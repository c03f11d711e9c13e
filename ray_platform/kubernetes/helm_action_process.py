"""One Helm action on a release, in a process of its own: request as JSON on stdin, answer on stdout.

Run by `ray_platform.kubernetes.helm_release_client`, as a file: it imports nothing of the platform. The name
that the process was started by is Helm's field manager in Kubernetes.
"""

import json
import sys
from typing import Any

#: Lifts a default throttle of the Go client that costs seconds.
_THROTTLE: dict[str, Any] = {"qps": 1000, "burst_limit": 2000}


def main() -> None:
    request = json.load(sys.stdin)
    json.dump(_answer(request), sys.stdout)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import helm_python

    try:
        with helm_python.Config(
            kubeconfig_content=request["kubeconfig"], namespace=request["namespace"], **_THROTTLE
        ) as config:
            return {"answer": _act(config, request)}
    except helm_python.HelmError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _act(config: Any, request: dict[str, Any]) -> Any:
    name, options = request["release"], request.get("options", {})
    match request["action"]:
        case "install" | "upgrade":
            run = getattr(config, request["action"])
            return run(request["chart"], name, request["values"], **options)
        case "rollback":
            return config.rollback(name, **options)
        case "uninstall":
            return config.uninstall(name, ignore_not_found=True, **options)
    raise ValueError(f"unknown action {request['action']!r}")


if __name__ == "__main__":
    main()
