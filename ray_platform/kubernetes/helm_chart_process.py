"""Helm charts: what a chart and its values make.

Rendering happens in a child process. In this process it works too, and takes 2 ms instead of 80;
but importing the library starts Go's runtime here, and a run that is forked afterwards inherits a
runtime without its threads: the library's network calls then hang (12 of 12), rendering did not
(0 of 12), and nothing promises that it stays so. The child also keeps a crash of native code out of
the code location.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ray_platform.text.canonical import digest, digest_files
from ray_platform.text.errors import SettingsError, ToolError

#: A render takes 0.1 s; on a machine under load the start of a process may take seconds.
RENDER_TIMEOUT_SECONDS = 60.0

_RENDERER = Path(__file__).with_name("helm_render_process.py")


@dataclass(frozen=True)
class RenderedChart:
    """What a chart makes of its values.

    ``documents`` are the Kubernetes manifests in the order of their templates' names, ``text`` the
    same as YAML for people, ``digest`` the hex SHA-256 of the documents (comments and the order of
    keys do not count).
    """

    documents: tuple[dict[str, Any], ...]
    text: str
    digest: str


def render_chart(
    chart: Path, values: Mapping[str, Any], *, release: str, namespace: str
) -> RenderedChart:
    """The manifests of a chart, without a cluster.

    Args:
        chart: The chart's folder.
        values: On top of the chart's own ``values.yaml``; maps are merged as Helm does.
        release: The release's name.
        namespace: The namespace of namespaced objects.

    Raises:
        SettingsError: the chart cannot be loaded, or its schema or a template refuses the values;
            the message names the key.
        ToolError: Helm's library does not work on this machine.
    """
    answer = _render(
        {"chart": str(chart), "values": values, "release": release, "namespace": namespace}
    )
    if "error" in answer:
        raise _refusal(chart, str(answer["error"]), str(answer["message"]))
    # An empty template is a document of None.
    manifests = {name: text for name, text in sorted(answer["manifests"].items()) if text.strip()}
    documents = tuple(
        document
        for text in manifests.values()
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document
    )
    return RenderedChart(
        documents=documents,
        text="".join(
            f"---\n# Source: {name}\n{text.strip()}\n" for name, text in manifests.items()
        ),
        digest=digest(documents),
    )


def chart_digest(chart: Path) -> str:
    """Hex SHA-256 over the chart's files: templates, defaults, schema; no values of a release.

    Raises:
        SettingsError: there is no chart.
    """
    if not (chart / "Chart.yaml").is_file():
        raise SettingsError(
            "there is no Helm chart", where=str(chart), fix="restore its Chart.yaml"
        )
    return digest_files(
        (path.relative_to(chart).as_posix(), path.read_bytes())
        for path in chart.rglob("*")
        if path.is_file()
    )


def _render(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        # -P keeps this folder off the child's import path, where its files would shadow others.
        done = subprocess.run(
            [sys.executable, "-P", str(_RENDERER)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=RENDER_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"Helm did not render the chart within {RENDER_TIMEOUT_SECONDS:g} seconds",
            where=str(request["chart"]),
            fix="try again when the machine is less busy",
        ) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolError(
            f"Helm's library failed (exit code {done.returncode}): {last}",
            where=str(request["chart"]),
            fix="install the dependencies again: `make clean up`",
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


#: A line of Helm's schema report: - at '/head/resources': additional properties 'x' not allowed
_AT_KEY = re.compile(r"^- at '(?P<key>[^']*)': (?P<problem>.+)$", re.MULTILINE)


def _refusal(chart: Path, error: str, message: str) -> SettingsError:
    if found := _AT_KEY.findall(message):
        what = "; ".join(
            f"{key.strip('/').replace('/', '.') or 'values'}: {problem}" for key, problem in found
        )
        return SettingsError(
            f"the chart refuses its values: {what}",
            where=str(chart / "values.schema.json"),
            fix=f"mend the key; {chart.name}/values.yaml documents each one",
        )
    told = " ".join(message.split())
    if error in ("HelmRenderError", "HelmValuesError"):
        return SettingsError(
            f"the chart refuses its values: {told}", where=str(chart), fix="mend the value"
        )
    return SettingsError(
        f"the chart cannot be loaded: {told}", where=str(chart), fix="restore the chart's files"
    )
