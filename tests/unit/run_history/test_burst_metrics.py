"""Burst metrics, the messages that carry them, and the autoscaling trace."""

import base64
import json
import random
import zlib
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.run_history.burst_metrics import (
    PHASES,
    NodeInterval,
    Phase,
    join_messages,
    read_metrics,
    unreached,
)
from ray_platform.text.errors import ArtifactError
from ray_platform.training.autoscaling_trace import plot_png, read_trace


def phase(name: str, workers: int, start: float, **changed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "tasks": workers,
        "workers_wanted": workers,
        "workers_reached": workers,
        "seconds_to_reach": 4.0,
        "started": start,
        "ended": start + 10,
        "queue_seconds_mean": 2.0,
        "queue_seconds_max": 4.0,
        "samples": 100,
        "samples_per_second": 20.0,
        "failures": 0,
        "retries": 0,
        "loss": 0.5,
        "node_seconds": {"cpu": 10.0 * workers},
        "error": "",
        **changed,
    }


def metrics(*phases: dict[str, Any], **changed: Any) -> dict[str, Any]:
    listed = phases or tuple(phase(p.name, p.workers, 100 + 10 * i) for i, p in enumerate(PHASES))
    return {
        "format_version": 1,
        "run_id": "r",
        "seed": 7,
        "ray_version": "2.60.0",
        "device": "cpu",
        "started": 100.0,
        "ended": 160.0,
        "succeeded": not any(p["error"] for p in listed),
        "loss": 0.5,
        "phases": list(listed),
        "node_intervals": [
            {"node_id": "h", "group": "head", "instance_type": "", "start": 1.0, "end": None},
            {
                "node_id": "a",
                "group": "cpu",
                "instance_type": "m5.xlarge",
                "start": 90,
                "end": None,
            },
            {
                "node_id": "b",
                "group": "cpu",
                "instance_type": "m5.xlarge",
                "start": 120,
                "end": 130,
            },
            {"node_id": "c", "group": "cpu", "instance_type": "m5.xlarge", "start": 10, "end": 50},
        ],
        **changed,
    }


def test_the_pattern_has_six_phases_and_peaks_at_ten() -> None:
    assert [p.workers for p in PHASES] == [2, 5, 10, 8, 4, 2]


def test_node_seconds_count_worker_nodes_within_the_run() -> None:
    read = read_metrics(metrics())
    assert read.node_seconds() == {"cpu": 60 + 10}
    assert read.peak_workers == 10


@given(*[st.floats(0, 1e6)] * 4)
def test_an_interval_never_counts_more_than_the_window(
    a: float, b: float, start: float, end: float
) -> None:
    node = NodeInterval("n", "cpu", "", min(a, b), max(a, b))
    low, high = min(start, end), max(start, end)
    assert 0 <= node.seconds_within(low, high) <= high - low


def test_a_good_burst_gives_no_reason() -> None:
    assert unreached(read_metrics(metrics()), PHASES) == []


def test_each_bad_phase_is_named_with_its_reason() -> None:
    read = read_metrics(
        metrics(
            phase("warm-up", 2, 100, workers_reached=1, seconds_to_reach=None),
            phase("peak", 9, 110, error="7 of 9 workers came within 180 s"),
        )
    )
    assert unreached(read, (Phase("warm-up", 2), Phase("peak", 10), Phase("cool-down", 2))) == [
        "peak: it wanted 9 workers, not 10",
        "cool-down: it did not run",
        "warm-up: it reached 1 of 2 workers",
        "peak: 7 of 9 workers came within 180 s",
    ]


@pytest.mark.parametrize("missing", sorted(metrics()))
def test_metrics_that_lack_a_field_are_refused(missing: str) -> None:
    broken = metrics()
    del broken[missing]
    with pytest.raises(ArtifactError, match="burst metrics"):
        read_metrics(broken)


@pytest.mark.parametrize("missing", sorted(phase("p", 1, 0)))
def test_phases_that_lack_a_field_are_refused(missing: str) -> None:
    broken = deepcopy(metrics())
    del broken["phases"][0][missing]
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_metrics(broken)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (metrics(phases=[]), "no phase"),
        (metrics(ended=1), "ended before"),
        (metrics(phase("p", 1, 100, ended=1)), "ended before"),
        (metrics(phase("p", 1, 100, retries=-1)), "negative"),
        (metrics(phase("p", 1, 100, error="lost"), succeeded=True), "although"),
    ],
)
def test_metrics_that_contradict_themselves_are_refused(
    broken: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ArtifactError, match=reason):
        read_metrics(broken)


def sent(files: dict[str, Any], chars: int = 20) -> list[Any]:
    result = []
    for name, content in files.items():
        packed = base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()
        parts = [packed[at : at + chars] for at in range(0, len(packed), chars)]
        for number, part in enumerate(parts):
            message = {"file": name, "part": number, "of": len(parts), "data": part}
            result.append({"ray_platform": message})
    return result


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers()), max_size=3), st.randoms())
def test_files_arrive_whole_in_any_order_and_beside_other_messages(
    files: dict[str, Any], order: random.Random
) -> None:
    messages = [*sent(files), {"other": 1}, "text", None]
    order.shuffle(messages)
    assert join_messages(messages) == files


def test_a_lost_message_is_noticed() -> None:
    messages = sent({"metrics.json": metrics()})
    for lost in range(len(messages)):
        with pytest.raises(ArtifactError, match="damaged or in part"):
            join_messages(messages[:lost] + messages[lost + 1 :])


TRACE = {
    "format_version": 1,
    "run_id": "r",
    "samples": [
        {"t": 101.0, "wanted": 2, "nodes": {"cpu": 2, "gpu": 1}, "running": 2},
        {"t": 100.0, "wanted": 2, "nodes": {"cpu": 1}, "running": 0},
    ],
    "phases": [{"name": "warm-up", "start": 100.0, "end": 101.0}],
}


def test_a_trace_is_read_in_the_order_of_time() -> None:
    trace = read_trace(TRACE)
    assert [sample.t for sample in trace.samples] == [100, 101]
    assert (trace.groups, trace.peak_nodes) == (("cpu", "gpu"), 3)


@pytest.mark.parametrize("missing", sorted(TRACE))
def test_a_trace_that_lacks_a_field_is_refused(missing: str) -> None:
    with pytest.raises(ArtifactError, match="autoscaling trace"):
        read_trace({key: value for key, value in TRACE.items() if key != missing})


@pytest.mark.parametrize("samples", [TRACE["samples"], []])
def test_a_trace_is_drawn_as_a_png_of_readable_width(samples: list[Any]) -> None:
    picture = plot_png(read_trace({**TRACE, "samples": samples}))
    assert picture.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(picture[16:20], "big") >= 900
