"""The infra versions between a good run and a bad one, with what each run on them came to."""

from ray_platform.lineage.bisection import Bisection, Tried, bisect
from ray_platform.records.version_differences import metrics
from ray_platform.run_history.run_history_store import BurstRun, RunHistory
from ray_platform.text.canonical import short
from ray_platform.text.errors import SettingsError


def bisect_runs(history: RunHistory, good: str, bad: str, metric: str) -> Bisection:
    """Judge every infra version between two runs by a metric of the runs on it.

    The versions are those on which the Ray cluster was deployed between the two, in the order of their
    deployment, whether a run tried them or not. ``bad`` may be the earlier run: then the order is reversed.

    Args:
        history: Where the runs are.
        good: A run whose metric is right; its id or a unique beginning of it.
        bad: A run whose metric is wrong.
        metric: A number of theirs, such as ``loss`` or ``phase phase-1 seconds``.

    Raises:
        NotFoundError: no such run.
        SettingsError: the two cannot be compared so.
    """
    first, second = one, other = history.pair(good, bad)
    values = [_value(run, metric) for run in (one, other)]
    if one.environment != other.environment:
        raise SettingsError(
            f"one ran in {one.environment}, the other in {other.environment}",
            where="--good, --bad",
            fix=f"ray-platform diff {short(good)} {short(bad)} compares them",
        )
    if one.infra_version == other.infra_version or values[0] == values[1]:
        same = "infra version" if one.infra_version == other.infra_version else metric
        raise SettingsError(
            f"both runs have the same {same}",
            where="--good, --bad" if same == "infra version" else "--metric",
            fix="the infrastructure does not make the difference"
            if same == "infra version"
            else "give a metric in which they differ",
        )
    backwards = (first.started or 0) > (second.started or 0)
    if backwards:
        first, second = second, first
    versions = _between(history, first, second)
    if backwards:
        versions.reverse()
    runs = history.on_versions(versions, one.environment)
    return bisect(
        [
            Tried(
                version,
                {
                    run.run_id: metrics(run.facts, run.phases).get(metric)
                    for run in runs
                    if run.infra_version == version
                },
            )
            for version in versions
        ],
        *values,
    )


def _between(history: RunHistory, first: BurstRun, second: BurstRun) -> list[str]:
    """Infra versions from the first run's to the second's, each once, by when they were first there."""
    until = second.started or 0.0
    seen: dict[str, float] = {}
    for at, version in history.deployments(first.environment, before=until):
        seen[version] = at  # newest first: the earliest deployment since the first run stays
        if version == first.infra_version and at <= (first.started or 0.0):
            break
    for run in history.firsts_between(first, second):
        seen[run.infra_version] = min(seen.get(run.infra_version, until), run.started or until)
    inner = sorted(seen, key=lambda version: seen[version])
    ends = (first.infra_version, second.infra_version)
    return [ends[0], *(version for version in inner if version not in ends), ends[1]]


def _value(run: BurstRun, metric: str) -> float:
    known = metrics(run.facts, run.phases)
    if metric not in known:
        raise SettingsError(
            f"run {run.run_id} has no metric {metric!r}",
            where="--metric",
            fix=f"it has: {', '.join(known)}"
            if known
            else f"give another run: {run.unreadable or 'this one did not end well'}",
        )
    return known[metric]
