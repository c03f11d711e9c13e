"""The autoscaling trace of a burst run, and its picture."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform.text.errors import ArtifactError

FORMAT_VERSION = 1
_INK, _MUTED, _BAND = "#1f2937", "#6b7280", "#eef1f5"
_GROUP_COLOURS = ("#9ec5e8", "#f4b183", "#a8d5ba", "#d3b8e6", "#f2d388")
_WANTED, _RUNNING = "#b91c1c", "#1e5aa8"


@dataclass(frozen=True)
class Sample:
    """The cluster at one instant (``t``: seconds since 1970): workers wanted, worker nodes up by
    group, tasks that hold a worker."""

    t: float
    wanted: int
    nodes: Mapping[str, int]
    running: int


@dataclass(frozen=True)
class Band:
    """When a phase lasted, in seconds since 1970."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Trace:
    """How the cluster followed a burst run."""

    run_id: str
    samples: tuple[Sample, ...]
    phases: tuple[Band, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The worker groups that had a node, by name."""
        return tuple(sorted({group for sample in self.samples for group in sample.nodes}))

    @property
    def peak_nodes(self) -> int:
        return max((sum(sample.nodes.values()) for sample in self.samples), default=0)


def read_trace(data: Any, *, where: str = "trace.json") -> Trace:
    """Turn the content of ``trace.json`` into a `Trace`.

    Raises:
        ArtifactError: of another format, or incomplete.
    """
    fix = "run the burst again with the workload of this checkout"
    if not isinstance(data, Mapping) or data.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"this is no autoscaling trace of format version {FORMAT_VERSION}", where=where, fix=fix
        )
    try:
        samples = tuple(
            Sample(
                t=float(item["t"]),
                wanted=int(item["wanted"]),
                nodes={str(group): int(count) for group, count in item["nodes"].items()},
                running=int(item["running"]),
            )
            for item in data["samples"]
        )
        phases = tuple(
            Band(str(item["name"]), float(item["start"]), float(item["end"]))
            for item in data["phases"]
        )
        return Trace(
            run_id=str(data["run_id"]),
            samples=tuple(sorted(samples, key=lambda sample: sample.t)),
            phases=phases,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"the autoscaling trace cannot be read: {error!r}", where=where, fix=fix
        ) from error


def plot_png(trace: Trace) -> bytes:
    """The trace as a PNG picture of 1080 x 480 pixels: nodes up as areas by group, workers wanted
    as steps, tasks running as a line, a band for each phase. An empty trace gives empty axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4), dpi=120, facecolor="white", layout="constrained")
    axes = figure.subplots()
    starts = [sample.t for sample in trace.samples] + [band.start for band in trace.phases]
    zero = min(starts, default=0.0)
    times = [sample.t - zero for sample in trace.samples]
    highest = max(
        (max(s.wanted, sum(s.nodes.values()), s.running) for s in trace.samples), default=1
    )
    top = max(highest, 1) * 1.3
    for number, band in enumerate(trace.phases):
        start, end = band.start - zero, band.end - zero
        if number % 2 == 0:
            axes.axvspan(start, end, color=_BAND, lw=0, zorder=0)
        axes.text(
            (start + end) / 2,
            # Short phases stand close together: neighbours' names keep different heights.
            top * (0.955 if number % 2 == 0 else 0.885),
            band.name,
            ha="center",
            va="center",
            fontsize=8.5,
            color=_MUTED,
        )
    if times:
        groups = trace.groups
        colours = [_GROUP_COLOURS[at % len(_GROUP_COLOURS)] for at in range(len(groups))]
        if groups:
            counts = [[sample.nodes.get(group, 0) for sample in trace.samples] for group in groups]
            labels = [f"nodes up: {group}" for group in groups]
            axes.stackplot(
                times, counts, labels=labels, colors=colours, step="post", lw=0, zorder=2
            )
        axes.plot(
            times,
            [sample.running for sample in trace.samples],
            drawstyle="steps-post",
            color=_RUNNING,
            lw=1.8,
            label="tasks running",
            zorder=3,
        )
        axes.plot(
            times,
            [sample.wanted for sample in trace.samples],
            drawstyle="steps-post",
            color=_WANTED,
            lw=1.8,
            ls=(0, (4, 2)),
            label="workers wanted",
            zorder=4,
        )
        axes.set_xlim(0, max(times[-1], 1) * 1.01)
        figure.legend(loc="outside lower center", ncols=len(groups) + 2, frameon=False, fontsize=9)
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("seconds since the run started", color=_INK)
    axes.set_ylabel("nodes, workers, tasks", color=_INK)
    axes.set_title(
        "The cluster follows the burst", loc="left", fontsize=12, fontweight="bold", color=_INK
    )
    axes.grid(axis="y", color="#d7dce3", lw=0.6, zorder=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c3c9d2")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
