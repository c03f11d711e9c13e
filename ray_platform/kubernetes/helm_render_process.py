"""Renders one chart in a process of its own: request as JSON on stdin, answer as JSON on stdout.

Run by `ray_platform.kubernetes.helm_chart_process`, as a file: it imports nothing of the platform.
"""

import json
import sys
from typing import Any


def main() -> None:
    request = json.load(sys.stdin)
    json.dump(_answer(request), sys.stdout)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    import helm_python

    try:
        with helm_python.Chart.load(request["chart"]) as chart:
            manifests = chart.render(
                request["values"], name=request["release"], namespace=request["namespace"]
            )
    except helm_python.HelmError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"manifests": manifests}


if __name__ == "__main__":
    main()
