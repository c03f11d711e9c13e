"""Bursty training: six phases that make a Ray cluster grow and shrink, and a model that learns
meanwhile.

Each phase starts as many one-worker tasks at once as it wants workers. A task reports where it
runs, waits until all tasks of its phase have done so (a gang start, so "workers reached" is seen,
not assumed), trains the common model on its own shard, and hands its parameters back. They are
averaged in a fixed order and carried to the next phase: the loss depends on the seed and the
options, never on scheduling or retries.

Standard output is one JSON object a line, each with ``run_id``, ``phase``, ``event`` and
``timestamp`` (seconds since 1970). ``metrics.json`` and ``trace.json`` go to ``--output``, and to
Dagster when a Dagster Pipes session started this script. Exit code 0: every phase reached its
workers and finished, or Dagster has the metrics that say which did not; 1: not.
"""

import argparse
import base64
import contextlib
import json
import os
import signal
import statistics
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

# One thread for linear algebra, so that sums are taken in the same order on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import ray

PATTERN = {
    "warm-up": 2,
    "small burst": 5,
    "peak": 10,
    "sustained": 8,
    "decrease": 4,
    "cool-down": 2,
}
FEATURES, HIDDEN = 16, 24
BATCH = 64
RATE = 0.1
SAMPLE_SECONDS = 0.5
# A job's log is handed on in pieces of 20,000 characters: a message must be well below.
MESSAGE_CHARS = 3000
LOSS_DIGITS = 9


def log(run_id: str, phase: str, event: str, **fields: Any) -> None:
    line = {"run_id": run_id, "phase": phase, "event": event, "timestamp": round(time.time(), 3)}
    # One write a line: two threads log.
    sys.stdout.write(json.dumps({**line, **fields}) + "\n")
    sys.stdout.flush()


# ---------------------------------------------------------------- the model


def initial_parameters(seed: int) -> list[np.ndarray]:
    """A network of one hidden layer: weights and biases of both layers."""
    rng = np.random.default_rng([seed, 0])
    return [
        rng.normal(0, FEATURES**-0.5, (FEATURES, HIDDEN)),
        np.zeros(HIDDEN),
        rng.normal(0, HIDDEN**-0.5, (HIDDEN, 1)),
        np.zeros(1),
    ]


def shard(seed: int, phase: int, index: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one task: inputs, and the noisy answers of a function that is the same for all
    shards."""
    rng = np.random.default_rng([seed, 1, phase, index])
    inputs = rng.normal(size=(rows, FEATURES))
    teacher = np.random.default_rng([seed, 2]).normal(size=(FEATURES, 2))
    projected = inputs @ teacher / FEATURES**0.5
    answers = np.sin(projected[:, :1]) + 0.5 * np.tanh(projected[:, 1:])
    return inputs, answers + 0.05 * rng.normal(size=(rows, 1))


def mean_squared_error(parameters: list[np.ndarray], inputs: Any, answers: Any) -> float:
    w1, b1, w2, b2 = parameters
    return float(np.mean((np.tanh(inputs @ w1 + b1) @ w2 + b2 - answers) ** 2))


def train_numpy(
    parameters: list[np.ndarray], inputs: np.ndarray, answers: np.ndarray, paces: Iterator[None]
) -> list[np.ndarray]:
    w1, b1, w2, b2 = (part.copy() for part in parameters)
    for step, _ in enumerate(paces):
        at = step * BATCH % len(inputs)
        x, y = inputs[at : at + BATCH], answers[at : at + BATCH]
        hidden = np.tanh(x @ w1 + b1)
        error = 2 * (hidden @ w2 + b2 - y) / len(x)
        back = (error @ w2.T) * (1 - hidden**2)
        w2 -= RATE * hidden.T @ error
        b2 -= RATE * error.sum(axis=0)
        w1 -= RATE * x.T @ back
        b1 -= RATE * back.sum(axis=0)
    return [w1, b1, w2, b2]


def train_torch(
    parameters: list[np.ndarray], inputs: np.ndarray, answers: np.ndarray, paces: Iterator[None]
) -> list[np.ndarray]:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("--device cuda was asked for, but this worker sees no CUDA device")
    to_gpu = {"device": "cuda", "dtype": torch.float64}
    weights = [torch.tensor(part, requires_grad=True, **to_gpu) for part in parameters]
    w1, b1, w2, b2 = weights
    all_x, all_y = torch.tensor(inputs, **to_gpu), torch.tensor(answers, **to_gpu)
    for step, _ in enumerate(paces):
        at = step * BATCH % len(inputs)
        x, y = all_x[at : at + BATCH], all_y[at : at + BATCH]
        loss = ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= RATE * gradient
    return [weight.detach().cpu().numpy() for weight in weights]


def paced(steps: int, seconds: float) -> Iterator[None]:
    """Yield once for each step, spread over the time; a late step is not waited for."""
    start = time.monotonic()
    for step in range(steps):
        yield
        time.sleep(max(0.0, start + seconds * (step + 1) / steps - time.monotonic()))


# ---------------------------------------------------------------- on the cluster


@ray.remote(num_cpus=0)
class Rendezvous:
    """Lets a phase's tasks go once each of them has a worker."""

    def __init__(self) -> None:
        import asyncio

        self.changed = asyncio.Condition()
        self.wanted: dict[int, int] = {}
        self.arrived: dict[int, dict[int, str]] = {}
        self.arrivals: dict[int, dict[int, float]] = {}
        self.released: dict[int, float] = {}
        self.running: set[tuple[int, int]] = set()

    async def open(self, phase: int, wanted: int) -> None:
        self.wanted[phase] = wanted
        self.arrived[phase], self.arrivals[phase] = {}, {}

    async def arrive(self, phase: int, index: int, node: str) -> None:
        async with self.changed:
            # A task that was started again replaces the one that was lost, but what was reached
            # when the phase began stays reached.
            if phase not in self.released:
                self.arrived[phase][index] = node
            self.arrivals[phase].setdefault(index, time.time())
            self.running.add((phase, index))
            if len(self.arrived[phase]) == self.wanted[phase]:
                self.released.setdefault(phase, time.time())
                self.changed.notify_all()
            await self.changed.wait_for(lambda: phase in self.released)

    async def leave(self, phase: int, index: int) -> None:
        self.running.discard((phase, index))

    async def lose(self, phase: int, index: int) -> None:
        self.running.discard((phase, index))
        if phase not in self.released:
            self.arrived[phase].pop(index, None)

    async def release(self, phase: int) -> None:
        """Let those go that wait, whether all are there or not."""
        async with self.changed:
            self.released.setdefault(phase, time.time())
            self.changed.notify_all()

    async def seen(self, phase: int) -> dict[str, Any]:
        return {
            "nodes": dict(self.arrived[phase]),
            "arrivals": dict(self.arrivals[phase]),
            "released": self.released.get(phase),
        }

    async def count_running(self) -> int:
        return len(self.running)


@ray.remote(max_retries=0)
def train_shard(
    rendezvous: Any, phase: int, index: int, parameters: list[np.ndarray], options: dict[str, Any]
) -> dict[str, Any]:
    node = ray.get_runtime_context().get_node_id()
    # Not ray.get: a task that waits in it gives its CPU to another one meanwhile.
    rendezvous.arrive.remote(phase, index, node).future().result()
    inputs, answers = shard(options["seed"], phase, index, options["rows"])
    train = train_torch if options["device"] == "cuda" else train_numpy
    paces = paced(options["steps"], options["task_seconds"])
    trained = train(parameters, inputs, answers, paces)
    rendezvous.leave.remote(phase, index).future().result()
    return {"parameters": trained, "samples": options["steps"] * min(BATCH, options["rows"])}


def node_group(node: dict[str, Any]) -> str:
    labels, resources = node.get("labels") or {}, node.get("resources") or {}
    if node.get("is_head"):
        return "head"
    return str(labels.get("ray.io/node-group") or ("gpu" if resources.get("GPU") else "worker"))


class Watcher(threading.Thread):
    """Samples the cluster twice a second, and keeps when each node came and went."""

    def __init__(self, rendezvous: Any) -> None:
        super().__init__(daemon=True)
        self.rendezvous = rendezvous
        self.wanted = 0
        self.samples: list[dict[str, Any]] = []
        self.nodes: dict[str, dict[str, Any]] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            # A lost sample is a gap in the plot, not a reason to lose the run.
            with contextlib.suppress(Exception):
                self.sample()

    def sample(self) -> None:
        now, up = time.time(), {}
        wanted = self.wanted
        for node in ray.nodes():
            resources = node.get("Resources") or {}
            seen = self.nodes.setdefault(
                node["NodeID"],
                {
                    "start": now,
                    "end": None,
                    "labels": node.get("Labels") or {},
                    "resources": resources,
                    "is_head": "node:__internal_head__" in resources,
                },
            )
            if node["Alive"]:
                group = node_group(seen)
                if group != "head":
                    up[group] = up.get(group, 0) + 1
            elif seen["end"] is None:
                seen["end"] = now
        running = ray.get(self.rendezvous.count_running.remote(), timeout=5)
        self.samples.append({"t": now, "wanted": wanted, "nodes": up, "running": running})

    def intervals(self) -> list[dict[str, Any]]:
        """When each node of the cluster started and ended, by the cluster's own events where it
        tells."""
        with contextlib.suppress(Exception):
            from ray.util.state import list_nodes

            for state in list_nodes(limit=1000, detail=True, timeout=20):
                seen = self.nodes.setdefault(state.node_id, {"start": 0.0, "end": None})
                seen["labels"] = state.labels or seen.get("labels") or {}
                seen["resources"] = state.resources_total or seen.get("resources") or {}
                seen["is_head"] = bool(state.is_head_node)
                seen["start"] = (state.start_time_ms or 0) / 1000 or seen["start"]
                if state.state == "DEAD":
                    seen["end"] = (state.end_time_ms or 0) / 1000 or seen["end"] or time.time()
        return sorted(
            (
                {
                    "node_id": node_id,
                    "group": node_group(seen),
                    "instance_type": str(
                        (seen.get("labels") or {}).get("node.kubernetes.io/instance-type", "")
                    ),
                    "start": seen["start"],
                    "end": seen["end"],
                }
                for node_id, seen in self.nodes.items()
            ),
            key=lambda node: (node["start"], node["node_id"]),
        )


# ---------------------------------------------------------------- the run


def run_phase(
    number: int,
    name: str,
    wanted: int,
    parameters: list[np.ndarray],
    rendezvous: Any,
    options: argparse.Namespace,
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """One phase: its figures, and the averaged parameters (the old ones when it failed)."""
    gpus = 1 if options.device == "cuda" else 0
    task = train_shard.options(num_cpus=options.cpus_per_worker, num_gpus=gpus)
    common = {name: getattr(options, name) for name in ("seed", "rows", "steps", "task_seconds")}
    common["device"] = options.device
    ray.get(rendezvous.open.remote(number, wanted))
    started = time.time()
    log(options.run_id, name, "phase_started", workers_wanted=wanted)

    def submit(index: int) -> Any:
        return task.remote(rendezvous, number, index, parameters_ref, common)

    parameters_ref = ray.put(parameters)
    waiting = {submit(index): index for index in range(wanted)}
    results: dict[int, dict[str, Any]] = {}
    failures = retries = 0
    attempts = dict.fromkeys(range(wanted), 1)
    error = ""
    reach_deadline = time.monotonic() + options.reach_timeout
    finish_deadline: float | None = None
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=0.25)
        for ref in done:
            index = waiting.pop(ref)
            try:
                results[index] = ray.get(ref)
            except ray.exceptions.RayError as lost:
                failures += 1
                reason = type(lost).__name__
                if isinstance(lost, ray.exceptions.RayTaskError):
                    reason = repr(lost.cause)
                log(options.run_id, name, "task_failed", task=index, reason=reason)
                ray.get(rendezvous.lose.remote(number, index))
                # What the task itself raised it would raise again.
                mendable = not isinstance(lost, ray.exceptions.RayTaskError)
                if mendable and attempts[index] <= options.max_retries:
                    attempts[index] += 1
                    retries += 1
                    waiting[submit(index)] = index
                    log(options.run_id, name, "task_retried", task=index, attempt=attempts[index])
                else:
                    error = error or f"task {index} failed: {reason}"
        seen = ray.get(rendezvous.seen.remote(number))
        if seen["released"] and finish_deadline is None:
            finish_deadline = time.monotonic() + options.reach_timeout + 10 * options.task_seconds
            log(
                options.run_id,
                name,
                "workers_reached",
                workers_reached=len(set(seen["nodes"].values())),
                seconds=round(seen["released"] - started, 3),
            )
        late = time.monotonic() > (finish_deadline or reach_deadline)
        if waiting and (error or late):
            error = error or (
                f"{len(seen['arrivals'])} of {wanted} workers came within "
                f"{options.reach_timeout:.0f} s"
                if finish_deadline is None
                else f"{len(waiting)} tasks did not finish in time"
            )
            for ref in waiting:
                ray.cancel(ref, force=True)
            ray.get(rendezvous.release.remote(number))
            break
    ended = time.time()
    seen = ray.get(rendezvous.seen.remote(number))
    reached = len(set(seen["nodes"].values()))
    complete = len(seen["arrivals"]) == wanted
    released = seen["released"] if complete else None
    if not error and reached < wanted:
        error = f"{wanted} tasks shared {reached} workers"
    queued = [arrival - started for arrival in seen["arrivals"].values()] or [0.0]
    samples = sum(result["samples"] for result in results.values())
    training_seconds = max(ended - released, 1e-9) if released else 0.0
    if len(results) == wanted:
        ordered = [results[index]["parameters"] for index in range(wanted)]
        parameters = [np.mean(parts, axis=0) for parts in zip(*ordered, strict=True)]
    test = shard(options.seed, 1_000_000, 0, 2048)
    figures = {
        "name": name,
        "tasks": wanted,
        "workers_wanted": wanted,
        "workers_reached": reached,
        "seconds_to_reach": round(released - started, 3) if released else None,
        "started": started,
        "ended": ended,
        "seconds": round(ended - started, 3),
        "queue_seconds_mean": round(statistics.fmean(queued), 3),
        "queue_seconds_max": round(max(queued), 3),
        "samples": samples,
        "samples_per_second": round(samples / training_seconds, 3) if released else 0.0,
        "failures": failures,
        "retries": retries,
        "loss": round(mean_squared_error(parameters, *test), LOSS_DIGITS),
        "error": error,
    }
    shown = {k: v for k, v in figures.items() if k not in ("name", "started", "ended", "error")}
    shown = {**({"error": error} if error else {}), **shown}
    log(options.run_id, name, "phase_failed" if error else "phase_finished", **shown)
    return figures, parameters


def node_seconds(nodes: list[dict[str, Any]], start: float, end: float) -> dict[str, float]:
    """Node-seconds of worker nodes between two instants, by worker group."""
    totals: dict[str, float] = {}
    for node in nodes:
        shared = min(node["end"] or end, end) - max(node["start"], start)
        if node["group"] != "head" and shared > 0:
            totals[node["group"]] = totals.get(node["group"], 0.0) + shared
    return {group: round(seconds, 3) for group, seconds in sorted(totals.items())}


def run(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """All phases; returns the metrics and the autoscaling trace."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Beside the driver, so that no worker that is killed or idle takes it along.
    rendezvous = Rendezvous.options(scheduling_strategy=here, max_concurrency=1000).remote()
    watcher = Watcher(rendezvous)
    started = time.time()
    watcher.sample()
    watcher.start()
    log(options.run_id, "", "run_started", seed=options.seed, ray_version=ray.__version__)
    parameters = initial_parameters(options.seed)
    phases = []
    for number, (name, wanted) in enumerate(options.phases):
        watcher.wanted = wanted
        figures, parameters = run_phase(number, name, wanted, parameters, rendezvous, options)
        phases.append(figures)
    watcher.wanted = 0
    watcher.ended.set()
    watcher.join(timeout=10)
    with contextlib.suppress(Exception):
        watcher.sample()
    ended = time.time()
    intervals = watcher.intervals()
    for figures in phases:
        figures["node_seconds"] = node_seconds(intervals, figures["started"], figures["ended"])
    seconds = ended - started
    samples = sum(figures["samples"] for figures in phases)
    metrics = {
        "format_version": 1,
        "run_id": options.run_id,
        "seed": options.seed,
        "ray_version": ray.__version__,
        "device": options.device,
        "cpus_per_task": options.cpus_per_worker,
        "started": started,
        "ended": ended,
        "succeeded": not any(figures["error"] for figures in phases),
        "loss": phases[-1]["loss"],
        "phases": phases,
        "totals": {
            "seconds": round(seconds, 3),
            "tasks": sum(figures["tasks"] for figures in phases),
            "samples": samples,
            "samples_per_second": round(samples / seconds, 3),
            "failures": sum(figures["failures"] for figures in phases),
            "retries": sum(figures["retries"] for figures in phases),
            "peak_workers": max(figures["workers_reached"] for figures in phases),
            "node_seconds": node_seconds(intervals, started, ended),
        },
        "node_intervals": intervals,
    }
    trace = {
        "format_version": 1,
        "run_id": options.run_id,
        "samples": watcher.samples,
        "phases": [
            {"name": figures["name"], "start": figures["started"], "end": figures["ended"]}
            for figures in phases
        ],
    }
    log(options.run_id, "", "run_finished", succeeded=metrics["succeeded"], **metrics["totals"])
    return metrics, trace


# ---------------------------------------------------------------- results


def save(output: str, files: dict[str, dict[str, Any]]) -> None:
    """Write the files into a folder, or below ``s3://bucket/prefix``."""
    for name, content in files.items():
        text = json.dumps(content, indent=1)
        if output.startswith("s3://"):
            import boto3

            bucket, _, prefix = output.removeprefix("s3://").partition("/")
            key = f"{prefix.rstrip('/')}/{name}".lstrip("/")
            boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        else:
            path = Path(output) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".new")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)


def messages(files: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The files as small messages: compressed, in parts."""
    for name, content in files.items():
        packed = base64.b64encode(zlib.compress(json.dumps(content).encode(), 9)).decode()
        parts = [packed[at : at + MESSAGE_CHARS] for at in range(0, len(packed), MESSAGE_CHARS)]
        for number, part in enumerate(parts):
            yield {"file": name, "part": number, "of": len(parts), "data": part}


def phases_option(text: str) -> list[tuple[str, int]]:
    names = list(PATTERN)
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise argparse.ArgumentTypeError("give worker counts of at least 1, as in 2,5,10,8,4,2")
    named = counts == list(PATTERN.values())
    return [(names[at] if named else f"phase {at + 1}", n) for at, n in enumerate(counts)]


def at_least(kind: type, low: float) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not value >= low:
            raise argparse.ArgumentTypeError(f"must be at least {low:g}")
        return value

    return number


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--address", default=None, help="of the Ray cluster; in a Ray job it is known")
    add("--run-id", default="", help="stands on every log line; default: made up")
    add("--seed", type=at_least(int, 0), default=7, help="of data and first weights")
    add(
        "--phases",
        type=phases_option,
        default=",".join(str(count) for count in PATTERN.values()),
        help="workers wanted in each phase",
    )
    add("--task-seconds", type=at_least(float, 0), default=6.0, help="a task's training time")
    add("--steps", type=at_least(int, 1), default=60, help="training steps of a task")
    add("--rows", type=at_least(int, BATCH), default=2048, help="rows of a task's shard")
    add(
        "--cpus-per-worker",
        type=at_least(float, 0.001),
        default=1.0,
        help="CPUs of a task; those of one Ray worker, so that each task takes a worker of its own",
    )
    add("--reach-timeout", type=at_least(float, 0), default=180.0, help="seconds, each phase")
    add("--max-retries", type=at_least(int, 0), default=3, help="of a task whose worker is lost")
    add(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda needs PyTorch on the workers"
    )
    add("--output", default="", help="folder or s3://bucket/prefix for metrics.json and trace.json")
    return parser.parse_args(argv)


@contextlib.contextmanager
def dagster() -> Iterator[Any]:
    """The Dagster Pipes session that started this script, or None."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield None
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        yield pipes


def _interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, _interrupted)
    with dagster() as pipes:
        options.run_id = options.run_id or (pipes.run_id if pipes else uuid.uuid4().hex)
        ray.init(address=options.address, log_to_driver=False, logging_level="WARNING")
        try:
            metrics, trace = run(options)
        except SystemExit:
            log(options.run_id, "", "interrupted")
            raise
        files = {"metrics.json": metrics, "trace.json": trace}
        if options.output:
            save(options.output, files)
        if pipes:
            for message in messages(files):
                pipes.report_custom_message({"ray_platform": message})
            # The verdict goes with the metrics: a job that failed would lose them to its caller.
            return 0
    return 0 if metrics["succeeded"] else 1


if __name__ == "__main__":
    sys.exit(main())
